package keybackup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
)

// newest asks for the newest backup in place of a version.
const newest = 0

const ofVersion = ` FROM key_backups b WHERE user_id = $1 AND NOT deleted AND ($2 = 0 OR version = $2) ORDER BY version DESC LIMIT 1`

func (s *Service) findBackup(ctx context.Context, userID string, version int64) (*Backup, error) {
	b, number := &Backup{}, int64(0)
	err := s.pool.QueryRow(ctx, `SELECT backup_id, version, algorithm, auth_data, keys, etag`+ofVersion, userID, version).
		Scan(&b.id, &number, &b.Algorithm, (*[]byte)(&b.AuthData), &b.Count, &b.ETag)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errUnknownVersion()
	}
	if err != nil {
		return nil, fmt.Errorf("find a key backup of %s: %w", userID, err)
	}
	b.Version = strconv.FormatInt(number, 10)
	if !event.IsJSON(b.AuthData) {
		name := fmt.Sprintf("key backup %d", b.id)
		s.damage.Found(ctx, name, errNoJSON)
		return nil, fmt.Errorf("%s is %w", name, postgres.ErrDamaged)
	}
	return b, nil
}

var errNoJSON = errors.New("its auth_data is no JSON")

// insertBackup makes a backup and returns its version: the time in seconds, so that it is
// another one than all that there may have been before the database was restored. Of what was
// deleted, so much is forgotten that a bounded number of rows remains.
func (s *Service) insertBackup(ctx context.Context, userID, algorithm string, authData []byte) (version int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := account.LockLive(ctx, tx, userID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			DELETE FROM key_backups WHERE user_id = $1 AND version IN (
				SELECT version FROM key_backups WHERE user_id = $1 AND deleted ORDER BY version DESC OFFSET $2)`, userID, maxBackups-1)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO key_backups (user_id, version, algorithm, auth_data, etag)
			SELECT $1, greatest(coalesce(max(version), 0) + 1, extract(epoch FROM now())::bigint), $2, $3, $4
			FROM key_backups WHERE user_id = $1 HAVING count(*) FILTER (WHERE NOT deleted) < $5
			RETURNING version`, userID, algorithm, authData, newETag(), maxBackups).Scan(&version)
		if errors.Is(err, pgx.ErrNoRows) {
			return matrix.Errorf(matrix.TooLarge, "a user has at most %d key backups: delete one", maxBackups)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("make a key backup of %s: %w", userID, err)
	}
	return version, nil
}

// newETag returns an etag that nothing has had before, also not what was lost when the
// database was restored.
func newETag() string { return rand.Text() }

// updateBackup reports whether there is a backup of the version and the algorithm.
func (s *Service) updateBackup(ctx context.Context, userID string, version int64, algorithm string, authData []byte) (bool, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE key_backups SET auth_data = $4 WHERE user_id = $1 AND version = $2 AND algorithm = $3 AND NOT deleted`,
		userID, version, algorithm, authData)
	if err != nil {
		return false, fmt.Errorf("update a key backup of %s: %w", userID, err)
	}
	return tag.RowsAffected() > 0, nil
}

func (s *Service) deleteBackup(ctx context.Context, userID string, version int64) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, `
			UPDATE key_backups SET deleted = true, auth_data = '', keys = 0, bytes = 0
			WHERE user_id = $1 AND version = $2 RETURNING backup_id`, userID, version).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return errUnknownVersion()
		}
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM room_keys WHERE backup_id = $1`, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete a key backup of %s: %w", userID, err)
	}
	return nil
}

// deleteAll deletes all backups of a user. A request that adds keys meanwhile holds a lock of
// the backup's row, and deleteAll waits for it.
func (s *Service) deleteAll(ctx context.Context, userID string) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `DELETE FROM key_backups WHERE user_id = $1 RETURNING backup_id`, userID)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM room_keys WHERE backup_id = ANY ($1)`, ids)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete the key backups of %s: %w", userID, err)
	}
	return nil
}
