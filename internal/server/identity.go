package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/event"
	"homeserver/internal/postgres"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/server/config"
	"homeserver/internal/server/serveridentity"
)

// owner is the server that a database is to belong to.
type owner struct {
	cfg *config.Config
	// mayMakeKey is set where there may be no signing key yet, as at the first start.
	mayMakeKey bool
	// signer is known once the database has been claimed.
	signer *event.Signer
}

// claim is an [admission]: it refuses a database that belongs to another server, or to another key.
func (o *owner) claim(ctx context.Context, conn *pgx.Conn) error {
	look := lookAround(conn, o.cfg.ServerName)
	signer, err := loadSigner(o.cfg)
	if o.mayMakeKey && errors.Is(err, fs.ErrNotExist) {
		if err := serveridentity.MayMakeKey(ctx, conn, look, signingKeyPath(o.cfg)); err != nil {
			return err
		}
		signer, err = makeSigner(o.cfg)
	}
	if err != nil {
		return err
	}
	o.signer = signer
	return serveridentity.Claim(ctx, conn, serveridentity.Of(signer), look)
}

// lookAround searches a database for the users of a server.
func lookAround(conn *pgx.Conn, serverName string) serveridentity.Look {
	return func(ctx context.Context) (left serveridentity.Traces, err error) {
		schema, err := postgres.Schema(ctx, conn)
		if err != nil || schema == 0 {
			return left, err
		}
		if left.Users, left.ForeignUser, err = account.ForServer(ctx, conn, serverName); err != nil {
			return left, err
		}
		left.Newest, err = timeline.NewestEvent(ctx, conn)
		return left, err
	}
}

// mustOwn refuses a database that is not this server's, and changes nothing.
func mustOwn(ctx context.Context, cfg *config.Config, url string) (err error) {
	signer, err := loadSigner(cfg)
	if err != nil {
		return err
	}
	conn, err := postgres.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return serveridentity.Verify(ctx, conn, serveridentity.Of(signer), lookAround(conn, cfg.ServerName))
}

// Adopted is the result of [AdoptSigningKey].
type Adopted struct {
	// KeyID is the key that the server signs with, Before the one before; empty: not known.
	KeyID, Before string
	// Made reports that the key was made, because there was none in the data folder.
	Made bool
}

// AdoptSigningKey has the server go on with the signing key that is in the data folder, or with a new one if
// there is none there. No server may run meanwhile.
func AdoptSigningKey(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Adopted, error) {
	if err := mustHaveDatabase(cfg); err != nil {
		return nil, err
	}
	db, err := findDatabaseAlone(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	adopted, err := adopt(ctx, cfg, db.url)
	return adopted, errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

func adopt(ctx context.Context, cfg *config.Config, url string) (_ *Adopted, err error) {
	if _, _, err := postgres.Migrate(ctx, url); err != nil {
		return nil, err
	}
	conn, err := postgres.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()

	adopted := &Adopted{}
	signer, err := loadSigner(cfg)
	if errors.Is(err, fs.ErrNotExist) {
		adopted.Made = true
		if err = makeDataDir(cfg.DataDir); err == nil {
			signer, err = makeSigner(cfg)
		}
	}
	if err != nil {
		return nil, err
	}
	adopted.KeyID = signer.KeyID
	adopted.Before, err = serveridentity.Adopt(ctx, conn, serveridentity.Of(signer), lookAround(conn, cfg.ServerName), time.Now())
	if err != nil && adopted.Made {
		// Nothing belongs to it.
		err = errors.Join(err, os.Remove(signingKeyPath(cfg)))
	}
	if err != nil {
		return nil, fmt.Errorf("adopt the signing key %s: %w", signer.KeyID, err)
	}
	return adopted, nil
}
