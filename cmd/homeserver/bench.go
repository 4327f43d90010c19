package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"homeserver/internal/bench"
	"homeserver/internal/server/config"
)

var benchCommand = command{
	name:    "bench",
	summary: "Measure the server on this machine",
	details: lines(
		"It starts a server of its own on a PostgreSQL of its own, in a temporary folder, and writes a table: each",
		"figure beside its ceiling, which is measured in the same run. All of it takes some minutes, and wants a",
		"machine that has nothing else to do. Names of cases are like \"send/64 into one room\".",
	),
	prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
		var b benchmark
		flags.StringVar(&b.only, "only", "", "measure only the cases whose names match a `REGEXP`")
		flags.BoolVar(&b.Quick, "quick", false, "try it out: seconds in all, and figures that mean nothing")
		flags.BoolVar(&b.list, "list", false, "list the names of the cases")
		flags.StringVar(&b.json, "json", "", "write the figures to a `FILE` as JSON, too")
		flags.StringVar(&b.document, "document", "", "put the table into a Markdown `FILE`, too, between its markers")
		flags.StringVar(&b.Dir, "dir", "", "make the temporary folder in `FOLDER`, on the disk that is to be measured")
		flags.StringVar(&b.Profile, "profile", "", "write a processor profile of the server for each case to `FOLDER`")
		return func(ctx context.Context, _ []string) error { return b.run(ctx, a) }
	},
}

// benchmark is one call of the command.
type benchmark struct {
	bench.Options
	list                 bool
	only, json, document string
}

func (b *benchmark) run(ctx context.Context, a *app) error {
	if b.list {
		a.print(a.stdout, strings.Join(bench.Names(b.Quick), "\n")+"\n")
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	b.Program, b.Environ, b.Progress = []string{program}, withoutSettings(a.environ), a.stderr
	if b.only != "" {
		if b.Only, err = regexp.Compile(b.only); err != nil {
			return usagef("--only: %v", err)
		}
	}
	report, err := bench.Run(ctx, b.Options)
	if err != nil {
		return err
	}
	a.print(a.stdout, report.Markdown())
	return b.write(report)
}

// write puts the report into the files that were asked for.
func (b *benchmark) write(report *bench.Report) (err error) {
	if b.json != "" {
		content, encoding := json.MarshalIndent(report, "", "  ")
		err = errors.Join(encoding, os.WriteFile(b.json, append(content, '\n'), 0o644)) //nolint:gosec // nothing secret
	}
	if b.document != "" {
		err = errors.Join(err, report.WriteInto(b.document))
	}
	return err
}

// withoutSettings returns the environment without what would configure a server.
func withoutSettings(environ []string) []string {
	var settings []string
	for _, key := range config.Keys() {
		settings = append(settings, key.Env, key.Env+"_FILE")
	}
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(settings, name)
	})
}
