package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/personal/reports"
	"homeserver/internal/postgres"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/server/config"
)

// MustHaveServed refuses a data folder that no server has used: an operator who names
// the wrong one should get an error, and not a new and empty server.
func MustHaveServed(cfg *config.Config) error {
	_, err := os.Stat(signingKeyPath(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return noServer(cfg, signingKeyFile)
	}
	return err
}

// mustHaveDatabase refuses a data folder without a database in it where that is where the database is to be.
func mustHaveDatabase(cfg *config.Config) error {
	if cfg.Database.URL != "" {
		return nil
	}
	_, err := os.Stat(clusterDir(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return noServer(cfg, "database")
	}
	return err
}

func noServer(cfg *config.Config, lacks string) error {
	return fmt.Errorf("no server has used the data folder %s, which holds no %s: with %s, name the right folder by --data-dir, "+
		"or its configuration by --config", cfg.DataDir, lacks, cfg.FileText())
}

// WithAccounts calls do with the service of accounts, for the commands of the operator. A server may or
// may not be running on the same database meanwhile. Where none ever has, it is refused.
func WithAccounts(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*auth.Service) error) error {
	return withDatabase(ctx, cfg, log, func(pool *pgxpool.Pool) error {
		accounts := newAuth(cfg, pool, nil, nil, nil, nil, nil, nil, nil, log)
		followDevices(accounts)
		return do(accounts)
	})
}

// ReportBook reads reports for the operator's commands.
type ReportBook struct {
	*reports.Service
	pool *pgxpool.Pool
}

// Event returns the event that a report is about, as it is stored; nil if there is
// none. redacted reports that most of it is gone.
func (b *ReportBook) Event(ctx context.Context, r *reports.Report) (raw []byte, redacted bool, err error) {
	return timeline.StoredEvent(ctx, b.pool, r.EventID)
}

// WithReports does the same as [WithAccounts] with the reports of users.
func WithReports(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*ReportBook) error) error {
	return withDatabase(ctx, cfg, log, func(pool *pgxpool.Pool) error {
		return do(&ReportBook{reports.New(reports.Options{Pool: pool, Log: log}), pool})
	})
}

// withDatabase calls do with the database of a server that there must be.
func withDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*pgxpool.Pool) error) error {
	if err := MustHaveServed(cfg); err != nil {
		return err
	}
	db, err := openDatabaseBeside(ctx, cfg, (&owner{cfg: cfg}).claim, log)
	if err != nil {
		return err
	}
	err = do(db.pool)
	return errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

// Migrate brings the database up to this binary's schema without starting a server, and returns the
// versions before and after. Starting a server does the same. A database of its own in the data folder
// must be there already; one that database.url names may be empty.
func Migrate(ctx context.Context, cfg *config.Config, log *slog.Logger) (from, to int64, err error) {
	if err := mustHaveDatabase(cfg); err != nil {
		return 0, 0, err
	}
	db, err := findDatabase(ctx, cfg, log)
	if err != nil {
		return 0, 0, err
	}
	from, to, err = postgres.Migrate(ctx, db.url)
	return from, to, errors.Join(err, db.close(context.WithoutCancel(ctx)))
}
