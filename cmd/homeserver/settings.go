package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"strings"

	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

// settings are the flags by which a command finds its configuration.
type settings struct {
	file     string
	noFile   bool // no file is read, and none looked for
	look     bool // at the files that are named
	settings []config.Flag
}

// declare adds the flags that all commands have which read the configuration.
func (s *settings) declare(flags *flag.FlagSet) {
	flags.StringVar(&s.file, "config", "", "read the configuration from `FILE` (else $HOMESERVER_CONFIG, else "+usualConfigFile+")")
	flags.Func("data-dir", "keep the data in `FOLDER` (key data_dir)", s.setter("--data-dir", "data_dir"))
}

// declareServer adds those of commands that run a server.
func (s *settings) declareServer(flags *flag.FlagSet) {
	flags.Func("listen", "listen on `ADDRESS`: host:port, or tls://host:port; may be repeated (key listen)",
		s.setter("--listen", "listen"))
	flags.Func("server-name", "be called `NAME` (key server_name)", s.setter("--server-name", "server_name"))
}

// setter returns a flag's function that sets a key. A flag that is repeated makes a list.
func (s *settings) setter(name, key string) func(string) error {
	return func(value string) error {
		for i := range s.settings {
			if s.settings[i].Name == name {
				s.settings[i].Value += "," + value
				return nil
			}
		}
		s.settings = append(s.settings, config.Flag{Name: name, Key: key, Value: value})
		return nil
	}
}

// load reads the configuration from everywhere.
func (s *settings) load(a *app) (*config.Config, error) {
	return config.Load(config.Sources{
		File: s.file, DefaultFile: a.configFile, NoFile: s.noFile, Environ: a.environ, Flags: s.settings, CheckFiles: s.look,
	})
}

// loadServed reads the configuration of a server that there must be.
func (s *settings) loadServed(a *app) (*config.Config, error) {
	cfg, err := s.load(a)
	if err != nil {
		return nil, err
	}
	return cfg, server.MustHaveServed(cfg)
}

// withConfig makes a command of one that needs nothing but the configuration and a log.
func withConfig(do func(ctx context.Context, a *app, cfg *config.Config) error) func(*app, *flag.FlagSet) func(context.Context, []string) error {
	return func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
		var s settings
		s.declare(flags)
		return func(ctx context.Context, _ []string) error {
			cfg, err := s.load(a)
			if err != nil {
				return err
			}
			return do(ctx, a, cfg)
		}
	}
}

// newLog returns the log that is configured.
func newLog(w io.Writer, cfg config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.SlogLevel()}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// quietLog returns the log of a command that is no server: it has warnings and errors
// only.
func quietLog(w io.Writer, cfg config.Log) *slog.Logger {
	if cfg.Level == "info" {
		cfg.Level = "warn"
	}
	return newLog(w, cfg)
}

// lines joins the lines of a description.
func lines(l ...string) string { return strings.Join(l, "\n") }
