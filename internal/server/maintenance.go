package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/progress"
	"homeserver/internal/server/backup"
	"homeserver/internal/server/config"
	"homeserver/internal/server/serveridentity"
)

// Backup writes a backup into a folder, whether a server runs or not, and shows its progress.
func Backup(ctx context.Context, cfg *config.Config, log *slog.Logger, dir string, progress io.Writer) (*backup.Summary, error) {
	if err := MustHaveServed(cfg); err != nil {
		return nil, err
	}
	db, err := findDatabaseBeside(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	var summary *backup.Summary
	server, err := backupServer(cfg, db, log, progress)
	if err == nil {
		err = mustOwn(ctx, cfg, db.url)
	}
	if err == nil {
		summary, err = backup.Write(ctx, dir, server)
	}
	return summary, errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

// Restore makes the server of a backup in a data folder and a database in which there is none, and shows
// its progress.
func Restore(ctx context.Context, cfg *config.Config, log *slog.Logger, dir string, keepSessions bool, progress io.Writer) (*backup.Summary, error) {
	if err := makeDataDir(cfg.DataDir); err != nil {
		return nil, err
	}
	db, err := findDatabaseAlone(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	var summary *backup.Summary
	server, err := backupServer(cfg, db, log, progress)
	if err == nil {
		server.KeepSessions = keepSessions
		summary, err = backup.Restore(ctx, dir, server)
	}
	return summary, errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

func backupServer(cfg *config.Config, db *database, log *slog.Logger, progress io.Writer) (backup.Server, error) {
	files, err := newMedia(cfg, cfg.Budget(), nil, nil, nil, nil, log)
	return backup.Server{
		Name: cfg.ServerName, DatabaseURL: db.url, Media: files,
		SigningKey: signingKeyPath(cfg), Progress: progress,
	}, err
}

// findDatabaseAlone finds the database for a command that must have it for itself.
func findDatabaseAlone(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	db, err := findDatabase(ctx, cfg, log)
	if errors.Is(err, cluster.ErrInUse) {
		err = fmt.Errorf("the server runs: stop it first: %w", err)
	}
	return db, err
}

// Doctor checks the server's data and writes its findings to out. A server may run
// meanwhile, unless the doctor is to repair.
func Doctor(ctx context.Context, cfg *config.Config, log *slog.Logger, repair bool, out, progress io.Writer) (doctor.Summary, error) {
	if err := MustHaveServed(cfg); err != nil {
		return doctor.Summary{}, err
	}
	find := findDatabaseBeside
	if repair {
		find = findDatabaseAlone
	}
	db, err := find(ctx, cfg, log)
	if err != nil {
		return doctor.Summary{}, err
	}
	summary, err := examine(ctx, cfg, db, log, repair, out, progress)
	return summary, errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

func examine(ctx context.Context, cfg *config.Config, db *database, log *slog.Logger, repair bool, out, w io.Writer) (s doctor.Summary, err error) {
	signer, err := loadSigner(cfg)
	if err != nil {
		return s, err
	}
	conn, err := postgres.Connect(ctx, db.url)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := mustBeExaminable(ctx, conn, repair); err != nil {
		return s, err
	}
	// The schema is up to date, so that opening the pool changes nothing.
	if _, err := db.open(ctx, cfg, nil, log); err != nil {
		return s, err
	}
	services, err := newServices(cfg, hooks{}, nil, db, signer, log)
	if err != nil {
		return s, err
	}
	checks := slices.Concat(
		postgres.Checks(), serveridentity.Checks(serveridentity.Of(signer), lookAround(conn, cfg.ServerName)), services.parts.checks(),
	)
	return doctor.Run(ctx, conn, checks, repair, out, func(title string, steps int64) doctor.Bar {
		return progress.New(w, title, steps)
	})
}

// mustBeExaminable refuses a database of another schema, and to repair one that is in use.
func mustBeExaminable(ctx context.Context, conn *pgx.Conn, repair bool) error {
	if repair {
		if err := postgres.MustBeAlone(ctx, conn); err != nil {
			return err
		}
	}
	known, err := postgres.KnownSchema()
	if err != nil {
		return err
	}
	schema, err := postgres.Schema(ctx, conn)
	if err == nil && schema != known {
		err = fmt.Errorf("the database has schema version %d, this program works with %d: use the program that the server runs, or migrate first", schema, known)
	}
	return err
}
