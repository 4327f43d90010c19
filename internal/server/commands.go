package server

import (
	"context"
	"errors"
	"log/slog"

	"homeserver/internal/auth"
	"homeserver/internal/config"
	"homeserver/internal/postgres"
)

// WithAccounts calls do with the service of accounts, for the commands of the operator. A server may or
// may not be running on the same database meanwhile.
func WithAccounts(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*auth.Service) error) error {
	if err := makeDataDir(cfg.DataDir); err != nil {
		return err
	}
	db, err := openDatabaseBeside(ctx, cfg, log)
	if err != nil {
		return err
	}
	err = do(newAuth(cfg, db.pool, nil, nil, nil, log))
	return errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

// Migrate brings the database up to this binary's schema without starting a server, and returns the
// versions before and after. Starting a server does the same.
func Migrate(ctx context.Context, cfg *config.Config, log *slog.Logger) (from, to int64, err error) {
	if err := makeDataDir(cfg.DataDir); err != nil {
		return 0, 0, err
	}
	db, err := findDatabase(ctx, cfg, log)
	if err != nil {
		return 0, 0, err
	}
	from, to, err = postgres.Migrate(ctx, db.url)
	return from, to, errors.Join(err, db.close(context.WithoutCancel(ctx)))
}
