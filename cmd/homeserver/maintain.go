package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"homeserver/internal/server"
	"homeserver/internal/server/buildinfo"
	"homeserver/internal/server/config"
)

func configCheckCommand() command {
	return command{
		name:    "config check",
		summary: "Check the configuration and print what is in effect",
		details: "Everything that is wrong is reported at once, also with the files that it names. Secrets are not shown.",
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			s := settings{look: true}
			s.declare(flags)
			s.declareServer(flags)
			return func(context.Context, []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				a.print(a.stdout, "# With "+cfg.FileText()+".\n"+
					"# Environment variables are called HOMESERVER_ and the key in capitals:\n"+
					"# database.url is HOMESERVER_DATABASE_URL.\n")
				return cfg.Print(a.stdout)
			}
		},
	}
}

func migrateCommand() command {
	return command{
		name:    "migrate",
		summary: "Bring the database up to the schema of this version",
		details: "Starting the server does the same; this is for those who want it to be a step of its own.",
		prepare: withConfig(func(ctx context.Context, a *app, cfg *config.Config) error {
			from, to, err := server.Migrate(ctx, cfg, quietLog(a.stderr, cfg.Log))
			if err != nil {
				return err
			}
			if from == to {
				a.print(a.stdout, fmt.Sprintf("The database has schema %d already.\n", to))
			} else {
				a.print(a.stdout, fmt.Sprintf("The database has been brought from schema %d to %d.\n", from, to))
			}
			return nil
		}),
	}
}

func versionCommand() command {
	return command{
		name:    "version",
		summary: "Print the version",
		prepare: func(a *app, _ *flag.FlagSet) func(context.Context, []string) error {
			return func(context.Context, []string) error {
				a.print(a.stdout, fmt.Sprintf("homeserver %s (%s, %s/%s)\n", buildinfo.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH))
				return nil
			}
		},
	}
}

// healthTimeout bounds the answer of a server that is said to be healthy.
const healthTimeout = 5 * time.Second

func healthCommand() command {
	return command{
		name:    "health",
		summary: "Ask the server on this machine whether it is well",
		details: "The server is found by the same configuration. For containers and supervisors: the exit code is 0 if it is well.",
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			s.declareServer(flags)
			return func(ctx context.Context, _ []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return a.health(ctx, cfg)
			}
		},
	}
}

// health asks the first listener, a plain one if there is any.
func (a *app) health(ctx context.Context, cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	listener := *firstListener(cfg.Listen)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, listener.URL()+"/health", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", listener.URL(), err)
	}
	client := &http.Client{Transport: &http.Transport{
		// No proxy: the server is here. No verification either: another program that could answer on
		// our own port controls the machine already. With ACME there is a certificate for its names only.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: cfg.ACMEHosts()[0]}, //nolint:gosec // see above
	}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not well: %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	a.print(a.stdout, "ok\n")
	return nil
}
