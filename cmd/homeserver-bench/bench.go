package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"

	"homeserver/internal/progress"
)

// Options says what a run measures and with what.
type Options struct {
	// Program is the command line of the server, to which "serve" is added, and
	// Environ its whole environment but for the settings that the run makes.
	Program, Environ []string
	// Dir is the folder in which the temporary one is made, on the disk that is to
	// be measured; empty: that of the system.
	Dir string
	// Only chooses among the cases by their names, "family/case"; nil: all.
	Only *regexp.Regexp
	// Quick takes the sizes of a test.
	Quick bool
	// Profile is a folder for the processor profiles of the server, one a case; empty:
	// none are taken.
	Profile string
	// Progress is told how far the run has come.
	Progress io.Writer
}

// family is what is measured of one ability of the server.
type family struct {
	key     string // begins the names of its cases, for choosing
	name    string
	ceiling string // says what the ceilings are
	// prepare makes what the cases share, once, with the server running.
	prepare func(ctx context.Context) error
	cases   []testCase
}

// testCase measures one thing.
type testCase struct {
	name string
	run  func(ctx context.Context) ([]Figure, error)
	// restart starts the server anew before, with nothing in memory.
	restart bool
	// restarts says that the case itself does so, and no profile can be taken.
	restarts bool
}

// families are all there are, in the order in which they run.
func (h *house) families() []*family {
	return []*family{
		newSending(h),
		newDelivering(h),
		newTrivial(h),
		newSyncing(h),
		newManyRooms(h),
		newAwaking(h),
		newJoining(h),
		newEncrypting(h),
		newLoggingIn(h),
		newRemembering(h),
		newKeeping(h),
		newSizing(h),
		newLooking(h),
		newReading(h),
		newRelating(h),
		newPlanning(h),
		newStarting(h),
	}
}

// measure measures the cases that are chosen. Nothing of it is left behind.
func measure(ctx context.Context, o Options) (report *Report, err error) {
	h := &house{o: o, size: full}
	if o.Quick {
		h.size = quick
	}
	chosen := choose(h.families(), o.Only)
	if len(chosen) == 0 {
		return nil, errors.New("no case has such a name")
	}
	defer func() { err = errors.Join(err, h.close(context.WithoutCancel(ctx))) }()
	before := load()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	report = &Report{Machine: Machine{
		Processors: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), PostgreSQL: h.version, Load: before, Quick: o.Quick,
	}}
	for _, f := range chosen {
		measured, err := h.measure(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		report.Families = append(report.Families, measured)
	}
	return report, nil
}

// caseNames lists the names of all cases, by which they are chosen.
func caseNames(quickly bool) []string {
	h := &house{size: full}
	if quickly {
		h.size = quick
	}
	var names []string
	for _, f := range h.families() {
		for _, c := range f.cases {
			names = append(names, f.key+"/"+c.name)
		}
	}
	return names
}

// choose keeps the cases that have such names, and the families that have any.
func choose(all []*family, only *regexp.Regexp) []*family {
	var chosen []*family
	for _, f := range all {
		var cases []testCase
		for _, c := range f.cases {
			if only == nil || only.MatchString(f.key+"/"+c.name) {
				cases = append(cases, c)
			}
		}
		if f.cases = cases; len(cases) > 0 {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// measure runs the cases of one family.
func (h *house) measure(ctx context.Context, f *family) (*Family, error) {
	bar := progress.New(h.o.Progress, f.name, int64(len(f.cases)+1))
	defer bar.Stop()
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	if err := f.prepare(ctx); err != nil {
		return nil, err
	}
	// What is compared has the same plans at each run, whenever autovacuum comes.
	if _, err := h.pool.Exec(ctx, "ANALYZE"); err != nil {
		return nil, fmt.Errorf("gather statistics: %w", err)
	}
	bar.Add(1)
	measured := &Family{Name: f.name, Ceiling: f.ceiling}
	for _, c := range f.cases {
		if c.restart {
			h.stop()
			if err := h.start(ctx); err != nil {
				return nil, err
			}
		}
		finish := func() error { return nil }
		if !c.restarts {
			finish = h.profile(ctx, f.key+"/"+c.name)
		}
		figures, err := c.run(ctx)
		if err = errors.Join(err, finish()); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		measured.Cases = append(measured.Cases, Case{Name: c.name, Figures: figures})
		bar.Add(1)
	}
	bar.Done()
	return measured, nil
}
