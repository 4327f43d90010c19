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
homeserver help COMMAND says more about one of them. Every key of the configuration file is also an
environment variable: homeserver config check lists them all.
`

// help writes the usage of everything, or of the command that is named.
func (a *app) help(args []string) int {
	if len(args) > 0 {
		if c, rest := findCommand(args); c != nil && len(rest) == 0 {
			a.print(a.stdout, c.usage(a))
			return exitOK
		}
		if group := findGroup(args[0]); group != nil && len(args) == 1 {
			a.print(a.stdout, groupUsage(args[0], group))
			return exitOK
		}
		a.complain("%q is not a command; `homeserver help` lists them", strings.Join(args, " "))
		return exitUsage
	}
	a.print(a.stdout, introduction+tableOf(commands())+conclusion)
	return exitOK
}

// tableOf lists commands, each with what it does.
func tableOf(all []command) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, c := range all {
		fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	// The table is written to memory, which never fails.
	_ = table.Flush()
	return text.String()
}

// findGroup returns the commands of two words of which the first is this one; nil if there are none.
func findGroup(word string) []command {
	var group []command
	for _, c := range commands() {
		if strings.HasPrefix(c.name, word+" ") {
			group = append(group, c)
		}
	}
	return group
}

// groupUsage returns the output of `homeserver help user`.
func groupUsage(word string, group []command) string {
	return "Usage: homeserver " + word + " COMMAND [flags]\n\n" + tableOf(group) +
		"\nhomeserver help " + word + " COMMAND says more about one of them.\n"
}

// runGroup answers a command line that names a group, and none of its commands.
func (a *app) runGroup(group []command, args []string) int {
	usage := groupUsage(args[0], group)
	if len(args) > 1 && isHelpFlag(args[1]) {
		a.print(a.stdout, usage)
		return exitOK
	}
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		a.complain("%q is not a command; `homeserver help %s` lists those there are", strings.Join(args[:2], " "), args[0])
		return exitUsage
	}
	a.print(a.stderr, usage)
	return exitUsage
}

// usage returns the output of `homeserver help COMMAND`.
func (c command) usage(a *app) string {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.prepare(a, flags)
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	count := 0
	flags.VisitAll(func(f *flag.Flag) {
		count++
		// The value's name is in backquotes in the description.
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
