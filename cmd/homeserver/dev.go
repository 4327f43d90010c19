package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"homeserver/internal/auth"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

// throwawayPrefix begins the names of the folders of development servers.
const throwawayPrefix = "homeserver-dev-"

func devCommand() command {
	return command{
		name:    "dev",
		summary: "Run a server for tests of clients and bots, gone when it stops",
		details: lines(
			"It is the real server, but its data is temporary, PostgreSQL does not wait for the disk, everybody may",
			"register, and there are no rate limits. It reads no configuration file; environment variables count,",
			"except where they contradict that. Its data goes when it ends, even if it is killed.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			var users []auth.NewAccount
			s.declareServer(flags)
			flags.Func("user", "make an account `NAME:PASSWORD`; may be repeated", func(value string) error {
				name, password, found := strings.Cut(value, ":")
				if !found || name == "" || password == "" {
					return errors.New("must be NAME:PASSWORD")
				}
				users = append(users, auth.NewAccount{Username: name, Password: password})
				return nil
			})
			return func(ctx context.Context, _ []string) error { return a.dev(ctx, &s, users) }
		},
	}
}

// dev runs a server in a temporary folder.
func (a *app) dev(ctx context.Context, s *settings, users []auth.NewAccount) error {
	dir, err := cluster.MakeThrowawayDir(throwawayPrefix)
	if err != nil {
		return err
	}
	remove, err := cluster.RemoveAfterKill(dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	err = a.devIn(ctx, dir, s, users)
	if removal := remove(); removal != nil {
		err = errors.Join(err, fmt.Errorf("remove the temporary data: %w", removal))
	}
	return err
}

func (a *app) devIn(ctx context.Context, dir string, s *settings, users []auth.NewAccount) error {
	const origin = "dev"
	s.settings = append(s.settings,
		config.Flag{Name: origin, Key: "data_dir", Value: filepath.Join(dir, "server")},
		config.Flag{Name: origin, Key: "database.url", Value: ""},
		config.Flag{Name: origin, Key: "registration.enabled", Value: "true"},
		config.Flag{Name: origin, Key: "rate_limits.enabled", Value: "false"},
		config.Flag{Name: origin, Key: "limits.free_disk", Value: "0"},
	)
	s.noFile = true
	cfg, err := s.load(a)
	if err != nil {
		return err
	}
	cfg.ThrowawayCluster = dir
	return a.serve(ctx, cfg, server.Accounts(users...))
}
