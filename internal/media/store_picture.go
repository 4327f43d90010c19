package media

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/media/picture"
)

// loadPicture reads the stored properties of a file's header; picture.ErrNoPicture and
// picture.ErrTooBig as of Inspect, and false if it has not been inspected yet.
func loadPicture(ctx context.Context, pool *pgxpool.Pool, h hash) (p picture.Picture, known bool, err error) {
	var tooBig bool
	err = pool.QueryRow(ctx, `
		SELECT format, too_big, width, height, orientation, animated, frames, unpacked, metadata
		FROM media_pictures WHERE hash = $1`, h[:]).
		Scan(&p.Format, &tooBig, &p.Width, &p.Height, &p.Orientation, &p.Animated, &p.Frames, &p.Unpacked, &p.Metadata)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return picture.Picture{}, false, nil
	case err != nil:
		return picture.Picture{}, false, fmt.Errorf("load a picture: %w", err)
	case tooBig:
		return picture.Picture{}, true, picture.ErrTooBig
	case p.Format == "":
		return picture.Picture{}, true, picture.ErrNoPicture
	}
	return p, true, nil
}

// storePicture stores the properties of a file's header, or that it is no picture.
func storePicture(ctx context.Context, pool *pgxpool.Pool, h hash, p picture.Picture, tooBig bool) error {
	_, err := pool.Exec(ctx, `
		INSERT INTO media_pictures (hash, format, too_big, width, height, orientation, animated, frames, unpacked, metadata)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (hash) DO NOTHING`,
		h[:], p.Format, tooBig, p.Width, p.Height, p.Orientation, p.Animated, p.Frames, p.Unpacked, p.Metadata)
	if err != nil {
		return fmt.Errorf("store a picture: %w", err)
	}
	return nil
}

// thumbnailType returns the media type of a thumbnail; "" if there is none.
func thumbnailType(ctx context.Context, pool *pgxpool.Pool, h hash, name string) (string, error) {
	var contentType string
	err := pool.QueryRow(ctx, `SELECT content_type FROM media_thumbnails WHERE hash = $1 AND name = $2`, h[:], name).Scan(&contentType)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look for a thumbnail: %w", err)
	}
	return contentType, nil
}

// insertThumbnail records a thumbnail that is about to be stored.
func insertThumbnail(ctx context.Context, pool *pgxpool.Pool, h hash, name, contentType string) error {
	_, err := pool.Exec(ctx, `
		INSERT INTO media_thumbnails (hash, name, content_type, made_at) VALUES ($1, $2, $3, clock_timestamp())
		ON CONFLICT (hash, name) DO UPDATE SET content_type = excluded.content_type, made_at = excluded.made_at`,
		h[:], name, contentType)
	if err != nil {
		return fmt.Errorf("insert a thumbnail: %w", err)
	}
	return nil
}

// oldThumbnail is a thumbnail that makes room for newer ones.
type oldThumbnail struct {
	Name   string
	MadeAt time.Time
}

// oldThumbnails returns those of a file beyond the newest.
func oldThumbnails(ctx context.Context, pool *pgxpool.Pool, h hash, newest int) ([]oldThumbnail, error) {
	rows, err := pool.Query(ctx, `
		SELECT name, made_at FROM media_thumbnails WHERE hash = $1 ORDER BY made_at DESC, name OFFSET $2`, h[:], newest)
	if err != nil {
		return nil, fmt.Errorf("count thumbnails: %w", err)
	}
	old, err := pgx.CollectRows(rows, pgx.RowToStructByPos[oldThumbnail])
	if err != nil {
		return nil, fmt.Errorf("count thumbnails: %w", err)
	}
	return old, nil
}

// deleteThumbnail removes the record of a thumbnail, unless it has been made again.
func deleteThumbnail(ctx context.Context, pool *pgxpool.Pool, h hash, old oldThumbnail) error {
	_, err := pool.Exec(ctx, `DELETE FROM media_thumbnails WHERE hash = $1 AND name = $2 AND made_at = $3`, h[:], old.Name, old.MadeAt)
	if err != nil {
		return fmt.Errorf("delete a thumbnail: %w", err)
	}
	return nil
}
