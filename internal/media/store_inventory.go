package media

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// FilesAsOf returns a page of [Service.Files] as a transaction sees the database, for a
// backup of one moment: at most that many, from the one after that key on.
func FilesAsOf(ctx context.Context, tx pgx.Tx, after string, most int) ([]StoredFile, error) {
	from := []byte{}
	if h, ok := parseContentKey(after); ok {
		from = h[:]
	}
	rows, _ := tx.Query(ctx, `
		SELECT DISTINCT ON (hash) hash, bytes FROM media WHERE hash > $1 ORDER BY hash LIMIT $2`, from, most)
	files, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (StoredFile, error) {
		var h []byte
		var f StoredFile
		if err := row.Scan(&h, &f.Bytes); err != nil {
			return StoredFile{}, err
		}
		if len(h) != len(hash{}) {
			return StoredFile{}, fmt.Errorf("%x is not a SHA-256", h)
		}
		f.Key, f.SHA256 = contentKey(hash(h)), hash(h).String()
		return f, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return files, nil
}

// StoredBytes adds up the files that are kept, thumbnails left out, by reading all
// records. A file that several have uploaded is kept once.
func (s *Service) StoredBytes(ctx context.Context) (bytes int64, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(sum(f.bytes), 0)::bigint
		FROM (SELECT max(bytes) AS bytes FROM media WHERE hash IS NOT NULL GROUP BY hash) f`).Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("add up the files: %w", err)
	}
	return bytes, nil
}
