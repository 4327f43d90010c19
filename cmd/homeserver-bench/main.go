// Command homeserver-bench measures the server on this machine.
//
// It starts the server's own program on a PostgreSQL of its own, in a temporary folder, and writes a table:
// each figure beside its ceiling, which is measured in the same run. All of it takes some minutes, and wants
// a machine that has nothing else to do. Names of cases are like "send/64 into one room".
//
// No figure stands alone. Beside each is its ceiling: what the least does that can
// be done at all, measured in the same run, by turns where both are rates. Ratios
// mean the same on every machine; bare milliseconds don't.
//
// Processor time is that of each process, as the operating system counts it. What
// the server does in the background, after its answers, is waited for and counted
// as well.
//
// A family of cases has a file of its own. Clients live in this process and speak
// HTTP over loopback by as little code as there can be, because they take their
// part of the same processors.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Exit codes, which are those of the server's program.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := execute(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute measures what the arguments ask for, and returns the exit code.
func execute(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) == 2 && args[0] == bareHandlerArg {
		return serveBareHandler(ctx, args[1], stdout, stderr)
	}
	b := benchmark{Options: Options{Environ: withoutSettings(environ), Progress: stderr}}
	flags := b.flags(stderr)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "homeserver-bench: takes no argument %q\n", flags.Arg(0))
		return exitUsage
	}
	if err := b.run(ctx, stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "homeserver-bench: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// benchmark is one run of the program.
type benchmark struct {
	Options
	list                   bool
	server, json, document string
	// before and after are the files of reports that are compared. Without after the run
	// itself is compared.
	before, after, comparison string
}

func (b *benchmark) flags(stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("homeserver-bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&b.server, "server", "", "measure the server's program in `FILE`, of this same version; else it is built from the source")
	flags.Func("only", "measure only the cases whose names match a `REGEXP`", func(value string) (err error) {
		b.Only, err = regexp.Compile(value)
		return err
	})
	flags.BoolVar(&b.Quick, "quick", false, "try it out: seconds in all, and figures that mean nothing")
	flags.BoolVar(&b.list, "list", false, "list the names of the cases")
	flags.StringVar(&b.json, "json", "", "write the figures to a `FILE` as JSON, too")
	flags.StringVar(&b.document, "document", "", "put the table into a Markdown `FILE`, too, between its markers")
	flags.StringVar(&b.before, "before", "", "compare with an earlier run, whose --json is `FILE`")
	flags.StringVar(&b.after, "after", "", "compare the run of this `FILE` with that of --before, and measure nothing")
	flags.StringVar(&b.comparison, "comparison", "", "write the comparison to a Markdown `FILE`, too")
	flags.StringVar(&b.Dir, "dir", "", "make the temporary folder in `FOLDER`, on the disk that is to be measured")
	flags.StringVar(&b.Profile, "profile", "", "write a processor profile of the server for each case to `FOLDER`")
	return flags
}

func (b *benchmark) run(ctx context.Context, stdout io.Writer) (err error) {
	if b.list {
		_, err := fmt.Fprintln(stdout, strings.Join(caseNames(b.Quick), "\n"))
		return err
	}
	if b.before == "" && b.after+b.comparison != "" {
		return errors.New("a comparison needs --before")
	}
	var before *Report
	if b.before != "" {
		if before, err = readReport(b.before); err != nil {
			return err
		}
	}
	if b.after != "" {
		after, err := readReport(b.after)
		if err != nil {
			return err
		}
		return b.compare(before, after, stdout)
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, report.Markdown())
	err = errors.Join(err, b.write(report))
	if before == nil || err != nil {
		return err
	}
	_, _ = fmt.Fprintln(stdout) // an error shows at the next writing
	return b.compare(before, report, stdout)
}

// compare writes the comparison of two runs.
func (b *benchmark) compare(before, after *Report, stdout io.Writer) error {
	text := comparison(before, after)
	_, err := io.WriteString(stdout, text)
	if b.comparison != "" {
		err = errors.Join(err, os.WriteFile(b.comparison, []byte(text), 0o644)) //nolint:gosec // nothing secret
	}
	return err
}

// measure measures the server's program, which is built unless there is one.
func (b *benchmark) measure(ctx context.Context) (*Report, error) {
	if b.server == "" {
		dir, err := os.MkdirTemp("", "homeserver-bench-program-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the server's program: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		b.server = filepath.Join(dir, "homeserver")
		if err := build(ctx, b.server); err != nil {
			return nil, err
		}
	}
	program, err := filepath.Abs(b.server)
	if err != nil {
		return nil, fmt.Errorf("find the server's program: %w", err)
	}
	b.Program = []string{program}
	return measure(ctx, b.Options)
}

// build builds the server's program from the source, in which this one must be run for that.
func build(ctx context.Context, file string) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", file, "homeserver/cmd/homeserver") //nolint:gosec // the file is this program's own
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the server; --server names one that is there: %w: %s", err, output)
	}
	return nil
}

// write puts the report into the files that were asked for.
func (b *benchmark) write(report *Report) (err error) {
	if b.json != "" {
		content, encoding := json.MarshalIndent(report, "", "  ")
		err = errors.Join(encoding, os.WriteFile(b.json, append(content, '\n'), 0o644)) //nolint:gosec // nothing secret
	}
	if b.document != "" {
		err = errors.Join(err, report.WriteInto(b.document))
	}
	return err
}

// withoutSettings returns the environment without what would configure a server, or what a
// server would take for a setting that it does not know.
func withoutSettings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		return strings.HasPrefix(variable, "HOMESERVER_")
	})
}
