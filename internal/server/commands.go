package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"homeserver/internal/auth"
	"homeserver/internal/config"
	"homeserver/internal/postgres"
)

// MustHaveServed refuses a data folder that no server has used: whoever names the wrong one should hear
// of it, and not get a new and empty server.
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
	if err := MustHaveServed(cfg); err != nil {
		return err
	}
	db, err := openDatabaseBeside(ctx, cfg, (&owner{cfg: cfg}).claim, log)
	if err != nil {
		return err
	}
	err = do(newAuth(cfg, db.pool, nil, nil, nil, log))
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
