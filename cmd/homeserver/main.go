// Command homeserver is a Matrix homeserver for one node.
//
// Without a command and without any configuration it serves http://localhost:8008 and
// https://localhost:8448 and keeps its data in ./data. `homeserver help` lists what else it can do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit codes: a command line that cannot be understood differs from work that failed.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

// usualConfigFile is read where no configuration is named, and it exists.
const usualConfigFile = "/etc/homeserver/config.yaml"

// configFile is usualConfigFile, except in tests.
var configFile = usualConfigFile

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		awaitSignals(signals, cancel)
		os.Exit(exitFailure)
	}()
	a := &app{environ: os.Environ(), configFile: configFile, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// signalEcho is how long after a signal another one is taken for the same: make, for one, passes
// on the SIGTERM that was sent to all processes of its group.
const signalEcho = 500 * time.Millisecond

// awaitSignals calls stop at the first signal, and returns at a later one: the operator does
// not wait for an orderly end.
func awaitSignals(signals <-chan os.Signal, stop func()) {
	<-signals
	stop()
	for first := time.Now(); ; {
		if <-signals; time.Since(first) >= signalEcho {
			return
		}
	}
}

// app is one run of the program, and all that it knows of the world.
type app struct {
	environ        []string
	configFile     string // read where no other is named, and it exists
	stdin          io.Reader
	stdout, stderr io.Writer
}

// command is one word, or two, of the command line.
type command struct {
	name    string
	args    string // what follows, for the usage text
	summary string
	details string
	// prepare declares the flags and returns the function to run once they are parsed.
	prepare func(a *app, flags *flag.FlagSet) func(ctx context.Context, args []string) error
}

// commands returns all of them, in the order of the usage text.
func commands() []command {
	return slices.Concat([]command{
		serveCommand(),
		devCommand(),
		configCheckCommand(),
		migrateCommand(),
		userCreateCommand(),
		userPasswordCommand(),
		userListCommand(),
	}, userModerateCommands(), []command{
		userDeactivateCommand(),
		registrationTokenCreateCommand(),
		registrationTokenListCommand(),
		registrationTokenDeleteCommand(),
		reportsListCommand(),
		reportsShowCommand(),
		reportsCloseCommand(),
		policiesCommand(),
		appServiceNewCommand(),
		appServiceCheckCommand(),
		backupCommand(),
		restoreCommand(),
		doctorCommand(),
		signingKeyAdoptCommand(),
		healthCommand(),
		versionCommand(),
	})
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run runs the command that the arguments name, and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	if len(args) > 0 && (args[0] == "help" || isHelpFlag(args[0])) {
		return a.help(args[1:])
	}
	if len(args) == 1 && args[0] == "--version" {
		args = []string{versionCommand().name}
	}
	// Flags alone are those of serve.
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{serveCommand().name}, args...)
	}
	c, rest := findCommand(args)
	if group := findGroup(args[0]); c == nil && group != nil {
		return a.runGroup(group, args)
	}
	if c == nil {
		a.complain("%q is not a command; `homeserver help` lists them", strings.Join(args[:min(2, len(args))], " "))
		return exitUsage
	}
	err := a.execute(ctx, c, rest)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		a.print(a.stdout, c.usage(a))
		return exitOK
	case isUsage(err):
		a.complain("%v; see `homeserver help %s`", err, c.name)
		return exitUsage
	default:
		a.complain("%v", err)
		return exitFailure
	}
}

func isUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	return ok
}

func isHelpFlag(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// complain writes an error, which may have several lines.
func (a *app) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.print(a.stderr, "homeserver: "+strings.ReplaceAll(text, "\n", "\nhomeserver: ")+"\n")
}

// print writes text; an error of that has nowhere to go.
func (a *app) print(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// execute parses the flags, which may be before and after other arguments, and runs the
// command.
func (a *app) execute(ctx context.Context, c *command, args []string) error {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	run := c.prepare(a, flags)
	var positional []string
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return err
			}
			return usagef("%s: %v", c.name, err)
		}
		if flags.NArg() == 0 {
			break
		}
		positional = append(positional, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if want := len(strings.Fields(c.args)); len(positional) != want {
		if want == 0 {
			return usagef("%s: takes no argument %q", c.name, positional[0])
		}
		return usagef("%s: needs %s", c.name, c.args)
	}
	return run(ctx, positional)
}

// findCommand returns the command that the first one or two arguments name, and the others.
func findCommand(args []string) (*command, []string) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return &c, args[len(words):]
		}
	}
	return nil, nil
}
