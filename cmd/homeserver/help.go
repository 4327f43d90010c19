package main

import (
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
)

const introduction = `homeserver is a Matrix homeserver.

Without a command it serves, and without configuration it does so on http://localhost:8008 and
https://localhost:8448, with its data in ./data.

Usage: homeserver [command] [flags]

`

const conclusion = `
homeserver help COMMAND tells more about one of them. Every key of the configuration file is also an
environment variable: homeserver config check lists them all.
`

// help writes the usage of everything, or of the command that is named.
func (a *app) help(args []string) int {
	if len(args) > 0 {
		if c, rest := findCommand(args); c != nil && len(rest) == 0 {
			a.print(a.stdout, c.usage(a))
			return exitOK
		}
		a.complain("%q is not a command; `homeserver help` lists them", strings.Join(args, " "))
		return exitUsage
	}
	var text strings.Builder
	text.WriteString(introduction)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	// The table goes to memory, which takes everything.
	_ = table.Flush()
	text.WriteString(conclusion)
	a.print(a.stdout, text.String())
	return exitOK
}

// usage returns what `homeserver help COMMAND` writes.
func (c *command) usage(a *app) string {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.prepare(a, flags)
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	count := 0
	flags.VisitAll(func(f *flag.Flag) {
		count++
		// The value's name stands in backquotes in the description.
		value, description := flag.UnquoteUsage(f)
		fmt.Fprintf(columns, "  %s\t%s\n", strings.TrimSpace("--"+f.Name+" "+value), description)
	})
	_ = columns.Flush()

	var text strings.Builder
	line := "Usage: homeserver " + c.name
	if c.args != "" {
		line += " " + c.args
	}
	if count > 0 {
		line += " [flags]"
	}
	fmt.Fprintf(&text, "%s\n\n%s.\n", line, c.summary)
	if c.details != "" {
		fmt.Fprintf(&text, "\n%s\n", c.details)
	}
	if count > 0 {
		fmt.Fprintf(&text, "\nFlags:\n%s", table.String())
	}
	return text.String()
}
