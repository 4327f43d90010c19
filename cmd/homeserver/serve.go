package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"homeserver/internal/server"
	"homeserver/internal/server/buildinfo"
	"homeserver/internal/server/config"
)

const (
	// shutdownTimeout bounds an orderly end: requests, the journal, a checkpoint of PostgreSQL. The configured
	// delay comes before.
	shutdownTimeout = 40 * time.Second
	// patience is how long a start may take before a person at a terminal sees what is
	// going on.
	patience = time.Second
)

func serveCommand() command {
	return command{
		name:    "serve",
		summary: "Run the server (the default)",
		details: lines(
			"Every setting has a default, can be set in a YAML file, overridden by an environment variable",
			"(HOMESERVER_ and its key in capitals), and some by a flag. With neither file nor variables the server",
			"is for this machine alone. The file is the one of --config, else of HOMESERVER_CONFIG, else",
			"/etc/homeserver/config.yaml if that exists. What is printed at the start names it.",
			"",
			"It stops in an orderly way at Ctrl-C or SIGTERM, at once at a second one half a second later or more.",
			"SIGHUP reads the files of the TLS certificate again.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			s.declareServer(flags)
			return func(ctx context.Context, _ []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return a.serve(ctx, cfg, func(s *server.Server) error {
					a.print(a.stdout, announcement(cfg, s))
					return nil
				})
			}
		},
	}
}

// serve runs a server until the context ends. Once it answers announce is called, which says so to those who wait
// for it; its error ends the server.
func (a *app) serve(ctx context.Context, cfg *config.Config, announce func(*server.Server) error, options ...server.Option) (err error) {
	lines := server.NewLogWriter(a.stderr)
	log := slog.New(lines.Handler(newLog(lines, cfg.Log).Handler()))
	log.Info("starting", "version", buildinfo.Version(), "configuration", cfg.FileText(), "data_dir", cfg.DataDir)
	debug.SetMemoryLimit(int64(cfg.Budget().Limit))
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	// The reader of the output may go away: that ends commands, but no server.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	defer lines.Flush() // before SIGPIPE ends the process again
	// A second signal, or the one who runs the process, may cut the end short.
	defer context.AfterFunc(ctx, lines.Hurry)()

	s, err := a.start(ctx, cfg, log, options)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before it was ready")
		}
		return err
	}
	defer func() {
		log.Info("shutting down")
		a.notify(log, notifyStopping)
		limit := shutdownTimeout + time.Duration(cfg.ShutdownDelay)*time.Second
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		err = errors.Join(err, s.Shutdown(stopping))
		log.Info("stopped")
	}()
	if err := announce(s); err != nil {
		return err
	}
	a.notify(log, notifyReady)
	return a.wait(ctx, s, log, hangups)
}

// start starts the server, and prints for a person who waits why it lasts long.
func (a *app) start(ctx context.Context, cfg *config.Config, log *slog.Logger, options []server.Option) (*server.Server, error) {
	if isTerminal(a.stderr) && cfg.Database.URL == "" {
		explain := time.AfterFunc(patience, func() {
			a.print(a.stderr, "Starting PostgreSQL; the first time, that takes some seconds …\n")
		})
		defer explain.Stop()
	}
	return server.Start(ctx, cfg, log, options...)
}

// wait returns when the server is to stop, with the reason if that is an error.
func (a *app) wait(ctx context.Context, s *server.Server, log *slog.Logger, hangups <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.Failed():
			return fmt.Errorf("serve: %w", err)
		case <-hangups:
			if isTerminal(a.stdin) {
				log.Info("SIGHUP: the terminal was closed")
				return nil
			}
			reload(s, log)
		}
	}
}

// reload does the work of SIGHUP, and logs the result.
func reload(s *server.Server, log *slog.Logger) {
	reloaded, err := s.ReloadCertificates()
	if err != nil {
		log.Error("SIGHUP: the TLS certificate cannot be read again, the one before stays", "from", reloaded.From, "error", err)
		return
	}
	what := "SIGHUP: the TLS certificate has not changed; the configuration is read at a start only"
	if reloaded.Changed {
		what = "SIGHUP: took up a new TLS certificate; the configuration is read at a start only"
	}
	attrs := []any{"from", reloaded.From}
	if !reloaded.Expires.IsZero() {
		attrs = append(attrs, "expires", reloaded.Expires)
	}
	log.Info(what, attrs...)
}
