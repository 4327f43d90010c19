package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"homeserver/internal/server"
)

func appServiceNewCommand() command {
	return command{
		name:    "appservice new",
		args:    "ID",
		summary: "Make a registration file for an application service",
		details: lines(
			"For a bot or a bridge of your own; most bridges make the file themselves. It has fresh tokens, and is",
			"printed unless --out names a file. List that in app_service_files, give it to the application service,",
			"and restart the server.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			var d server.AppServiceDraft
			flags.StringVar(&d.URL, "url", "", "the service listens at `URL` (http, https or unix:///path/to/socket)")
			flags.StringVar(&d.Localpart, "user", "", "its own user is called `NAME` (else as its ID)")
			flags.StringVar(&d.Users, "users", "", "the users that match `REGEX` are its own, such as @irc_.*")
			flags.StringVar(&d.Aliases, "aliases", "", "the room aliases that match `REGEX` are its own, such as #irc_.*")
			out := flags.String("out", "", "write to `FILE`, which must not exist yet")
			return func(_ context.Context, args []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				d.ID = args[0]
				text, err := d.File(cfg.ServerName)
				if err != nil {
					return err
				}
				if *out == "" {
					a.print(a.stdout, text)
					return nil
				}
				return a.writeSecretFile(*out, text)
			}
		},
	}
}

// writeSecretFile makes a file that only its owner can read.
func (a *app) writeSecretFile(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already", path)
	}
	if err != nil {
		return fmt.Errorf("make the registration file: %w", err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the registration file: %w", err)
	}
	a.print(a.stdout, "Made "+path+".\n")
	return nil
}

func appServiceCheckCommand() command {
	return command{
		name:    "appservice check",
		args:    "FILE",
		summary: "Check the registration file of an application service",
		details: lines(
			"Checks the file alone and beside those in app_service_files, and prints what the server makes of it.",
			"Nothing is changed. `homeserver config check` checks all that are listed.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			return func(_ context.Context, args []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				r, listed, err := server.CheckAppService(cfg, args[0])
				if err != nil {
					return err
				}
				a.print(a.stdout, describeAppService(r))
				if !listed {
					a.print(a.stdout, "It is not listed in app_service_files yet.\n")
				}
				return nil
			}
		},
	}
}

// describeAppService says what an application service is to the server, without its tokens.
func describeAppService(r *server.AppService) string {
	var text strings.Builder
	fmt.Fprintf(&text, "The application service %s is the user %s.\n", r.ID, r.Sender)
	if r.URL == "" {
		text.WriteString("It is not called: it has no URL.\n")
	} else {
		fmt.Fprintf(&text, "It is called at %s.\n", r.URL)
	}
	for _, kind := range []struct {
		name string
		all  server.Namespaces
	}{{"Users", r.Users}, {"Aliases", r.Aliases}, {"Rooms", r.Rooms}} {
		for _, n := range kind.all {
			owner := "shared with others"
			if n.Exclusive {
				owner = "its own"
			}
			fmt.Fprintf(&text, "%s that match %s are %s.\n", kind.name, n.Regex, owner)
		}
	}
	limits := "no rate limits"
	if r.RateLimited {
		limits = "the rate limits of other users"
	}
	fmt.Fprintf(&text, "Its users have %s.\n", limits)
	return text.String()
}
