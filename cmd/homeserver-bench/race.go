package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// part does one piece of work for one of several workers at once.
type part func(worker int) error

// run is what came of doing a part again and again.
type run struct {
	took      time.Duration
	latencies []time.Duration // sorted
	used      usage
}

// join adds another run of the same part.
func (r *run) join(other run) {
	r.took += other.took
	r.used = r.used.add(other.used)
	r.latencies = append(r.latencies, other.latencies...)
	slices.Sort(r.latencies)
}

// rate is how many parts were done in a second.
func (r *run) rate() float64 {
	if r.took == 0 {
		return 0
	}
	return float64(len(r.latencies)) / r.took.Seconds()
}

// percentile returns a latency in microseconds, of which that many percent are not
// longer.
func (r *run) percentile(percent int) float64 { return percentile(r.latencies, percent) }

func percentile(sorted []time.Duration, percent int) float64 {
	const hundred = 100
	if len(sorted) == 0 {
		return 0
	}
	return micros(sorted[min(len(sorted)*percent/hundred, len(sorted)-1)])
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// each shares a time out among the parts, in microseconds.
func (r *run) each(d time.Duration) float64 {
	if len(r.latencies) == 0 {
		return 0
	}
	return micros(d) / float64(len(r.latencies))
}

// goOn runs so many workers. Each does its part again and again for as long as d, but once
// at least.
func goOn(ctx context.Context, workers int, d time.Duration, do part) (run, error) {
	var mu sync.Mutex
	var all []time.Duration
	g, ctx := errgroup.WithContext(ctx)
	started := time.Now()
	for worker := range workers {
		g.Go(func() error {
			var own []time.Duration
			for first := true; first || time.Since(started) < d && ctx.Err() == nil; first = false {
				begun := time.Now()
				if err := do(worker); err != nil {
					return err
				}
				own = append(own, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			return ctx.Err()
		})
	}
	err := g.Wait()
	slices.Sort(all)
	return run{took: time.Since(started), latencies: all}, err
}

// race has workers do two things by turns, so that neither has the better moment. Before
// the turn of the other, race waits until the server has finished its background work, and
// counts the processor time of that, too.
func (h *house) race(ctx context.Context, workers int, measured, yardstick part) (m, y run, err error) {
	for range h.size.turns {
		for _, side := range []struct {
			do  part
			sum *run
		}{{yardstick, &y}, {measured, &m}} {
			before := h.usage()
			r, err := goOn(ctx, workers, h.size.turn, side.do)
			if err == nil {
				err = h.settle(ctx)
			}
			if err != nil {
				return m, y, err
			}
			r.used = h.usage().sub(before)
			side.sum.join(r)
		}
	}
	return m, y, nil
}
