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
	"homeserver/internal/devkit"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

// throwawayPrefix begins the names of the folders of development servers.
const throwawayPrefix = "homeserver-dev-"

// dev is what the command line asks of a development server.
type dev struct {
	settings
	users     []auth.NewAccount
	seed      seeding
	readyFile string
	// databaseURL is a PostgreSQL in which the server makes a database of its own; empty: it runs one.
	databaseURL string
	json        bool
	// fromNetwork has the endpoints of tests answer other machines, too.
	fromNetwork bool
	ends        ends
}

func devCommand() command {
	return command{
		name:    "dev",
		summary: "Run a server for tests of clients and bots, gone when it stops",
		details: lines(
			"It is the real server, but its data is temporary, PostgreSQL does not wait for the disk, everybody may",
			"register, and there are no rate limits. It reads no configuration file; environment variables count,",
			"except where they contradict that. Its data goes when it ends, even if it is killed.",
			"",
			"With port 0, as in --listen 127.0.0.1:0, it finds a free port. Tests read which from the file of",
			"--ready-file, or from the line of --json: a JSON object with base_url, tls_url, ca_file, server_name,",
			"control_url, pid and users, each with user_id, device_id, access_token, password and admin.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			d := &dev{}
			d.declareServer(flags)
			flags.Func("user", "make an account `NAME:PASSWORD[:admin]`, logged in; may be repeated", d.addUser)
			d.seed.declare(flags)
			flags.StringVar(&d.readyFile, "ready-file", "", "write to `FILE`, as JSON, where the server is, once it answers")
			flags.BoolVar(&d.json, "json", false, "print the same on standard output as one line, and nothing else")
			flags.StringVar(&d.databaseURL, "database-url", "",
				"use the PostgreSQL at `URL`: make a database there, and drop it at the end")
			flags.BoolVar(&d.fromNetwork, "control-from-network", false, "have /_homeserver/dev answer other machines, too: for containers")
			d.ends.declare(flags)
			return func(ctx context.Context, _ []string) error { return a.dev(ctx, d) }
		},
	}
}

// administrator ends the description of a user who is one.
const administrator = ":admin"

// addUser reads a user's name and password. The password may have colons.
func (d *dev) addUser(text string) error {
	name, password, _ := strings.Cut(text, ":")
	password, admin := strings.CutSuffix(password, administrator)
	if name == "" || password == "" {
		return errors.New("must be NAME:PASSWORD or NAME:PASSWORD:admin")
	}
	d.users = append(d.users, auth.NewAccount{Username: name, Password: password, Admin: admin})
	return nil
}

// dev runs a server in a temporary folder.
func (a *app) dev(ctx context.Context, d *dev) error {
	ctx, stop := d.ends.watch(ctx, a.stdin)
	defer stop()
	dir, err := cluster.MakeThrowawayDir(throwawayPrefix)
	if err != nil {
		return err
	}
	remove, err := cluster.RemoveAfterKill(dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	err = a.devOn(ctx, dir, d)
	if removal := remove(); removal != nil {
		err = errors.Join(err, fmt.Errorf("remove the temporary data: %w", removal))
	}
	return err
}

// devOn runs a server in a folder, on a database of its own if there is a PostgreSQL for that.
func (a *app) devOn(ctx context.Context, dir string, d *dev) (err error) {
	if d.databaseURL == "" {
		return a.devIn(ctx, dir, d)
	}
	database, err := devkit.MakeDatabase(ctx, d.databaseURL)
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, database.Drop(stopping))
	}()
	d.databaseURL = database.URL
	return a.devIn(ctx, dir, d)
}

// devIn runs a server in a folder of its own.
func (a *app) devIn(ctx context.Context, dir string, d *dev) (err error) {
	cfg, err := d.load(a, dir)
	if err != nil {
		return err
	}
	if err := d.removeOldReadyFile(); err != nil {
		return err
	}
	if err := d.seed.read(cfg.ServerName, d.users); err != nil {
		return err
	}
	var there devkit.Contents
	fill := server.Prepare(func(ctx context.Context, s *server.Services) (err error) {
		// At a reset users get their tokens again.
		if there.Users, err = devkit.MakeUsers(ctx, s.Accounts, d.users, there.Users); err != nil {
			return err
		}
		return d.seed.load(ctx, s, a.stderr, &there)
	})
	reset := newReset()
	var document *devkit.Document
	defer func() {
		if document != nil && d.readyFile != "" {
			err = errors.Join(err, document.RemoveFile(d.readyFile))
		}
	}()
	kit := reset.kit(d.fromNetwork, d.databaseURL == "")
	return a.serve(ctx, cfg, func(s *server.Server) error {
		reset.started <- s
		document = devkit.NewDocument(cfg.ServerName, s.CAFile(), s.Addresses(), there)
		return a.announceDev(d, cfg, s, document)
	}, fill, server.Renewable(d.seed.seed != nil), server.Around(kit.Around), server.Clock(kit.Clock))
}

// load returns the configuration of a server in a folder.
func (d *dev) load(a *app, dir string) (*config.Config, error) {
	const origin = "dev"
	d.settings.settings = append(d.settings.settings,
		config.Flag{Name: origin, Key: "data_dir", Value: filepath.Join(dir, "server")},
		config.Flag{Name: origin, Key: "database.url", Value: d.databaseURL},
		config.Flag{Name: origin, Key: "registration.enabled", Value: "true"},
		config.Flag{Name: origin, Key: "rate_limits.enabled", Value: "false"},
		config.Flag{Name: origin, Key: "limits.free_disk", Value: "0"},
	)
	d.noFile = true
	cfg, err := d.settings.load(a)
	if err != nil {
		return nil, err
	}
	cfg.CheapPasswords = true
	if cfg.FrontPage == config.FrontPageAuto { // also if the server is called otherwise than localhost
		cfg.FrontPage = config.FrontPageTutorial
	}
	if on := true; cfg.OAuth.Enabled == nil { // whatever the scheme of its address
		cfg.OAuth.Enabled = &on
	}
	if d.databaseURL != "" {
		return cfg, nil
	}
	cfg.ThrowawayCluster = dir
	if cache, err := os.UserCacheDir(); err == nil { // else there is none
		cfg.ClusterTemplates = filepath.Join(cache, "homeserver")
	}
	return cfg, nil
}

// removeOldReadyFile removes the file of an earlier server, which nobody must take for this one's.
func (d *dev) removeOldReadyFile() error {
	if d.readyFile == "" {
		return nil
	}
	if err := os.Remove(d.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the ready file of an earlier server: %w", err)
	}
	return nil
}

// announceDev says to people and programs that the server answers.
func (a *app) announceDev(d *dev, cfg *config.Config, s *server.Server, document *devkit.Document) error {
	if d.readyFile != "" {
		if err := document.WriteFile(d.readyFile); err != nil {
			return err
		}
	}
	if d.json {
		return document.Print(a.stdout)
	}
	a.print(a.stdout, announcement(cfg, s))
	return nil
}
