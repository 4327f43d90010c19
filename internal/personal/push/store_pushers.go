package push

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

func (s *Service) listPushers(ctx context.Context, userID string) ([]Pusher, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT app_display_name, app_id, data, device_display_name, kind, lang, profile_tag, pushkey, device_id, enabled
		FROM pushers WHERE user_id = $1 ORDER BY since, app_id, pushkey`, userID)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Pusher, err error) {
		err = row.Scan(&p.AppDisplayName, &p.AppID, (*[]byte)(&p.Data), &p.DeviceDisplayName, &p.Kind, &p.Lang, &p.ProfileTag, &p.Pushkey,
			&p.DeviceID, &p.Enabled)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the pushers of %s: %w", userID, err)
	}
	return slices.DeleteFunc(list, func(p Pusher) bool {
		if event.IsJSON(p.Data) {
			return false
		}
		s.rooms.Damage().Found(ctx, fmt.Sprintf("pusher %s of %s", p.AppID, userID), errNoJSON)
		return true
	}), nil
}

func deletePusher(ctx context.Context, pool *pgxpool.Pool, userID, appID, pushkey string) error {
	_, err := pool.Exec(ctx, `DELETE FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_id = $3`, appID, pushkey, userID)
	if err != nil {
		return fmt.Errorf("delete a pusher of %s: %w", userID, err)
	}
	return nil
}

// storePusher makes or changes a pusher, and deletes those of others unless they
// are to stay. The locks are taken in one order by all: for the key, on which users
// meet, and for the user, whose pushers are counted.
func (s *Service) storePusher(ctx context.Context, userID string, p *Pusher, keepOthers bool) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			SELECT pg_advisory_xact_lock(hashtextextended('pusher ' || $1 || ' ' || $2, 0)),
				pg_advisory_xact_lock(hashtextextended('pushers of ' || $3, 0))`, p.AppID, p.Pushkey, userID)
		if err != nil {
			return err
		}
		if !keepOthers {
			_, err = tx.Exec(ctx, `DELETE FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_id <> $3`, p.AppID, p.Pushkey, userID)
			if err != nil {
				return err
			}
		}
		if err := s.upsertPusher(ctx, tx, userID, p); err != nil || s.o.Channel == nil {
			return err
		}
		return s.o.Channel.Tell(ctx, tx, kindPusher, userID)
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == foreignKeyViolation {
		return matrix.Errorf(matrix.UnknownToken, "this device has been logged out")
	}
	if err != nil {
		return fmt.Errorf("store a pusher of %s: %w", userID, err)
	}
	return nil
}

// foreignKeyViolation is the SQLSTATE for a pusher whose device is gone.
const foreignKeyViolation = "23503"

// upsertPusher writes a pusher. A new pusher, or one that was not enabled, gets what comes
// after this; one that was enabled also still gets what it had not got yet. A gateway that has
// failed is tried again at once.
func (s *Service) upsertPusher(ctx context.Context, tx pgx.Tx, userID string, p *Pusher) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO pushers AS p (app_id, pushkey, user_id, device_id, kind, app_display_name, device_display_name,
			profile_tag, lang, data, since, enabled, sent_up_to, due)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $11, $14
		WHERE (SELECT count(*) FROM pushers WHERE user_id = $3 AND NOT (app_id = $1 AND pushkey = $2)) < $12
		ON CONFLICT (app_id, pushkey, user_id) DO UPDATE SET device_id = excluded.device_id, kind = excluded.kind,
			app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name,
			profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, enabled = excluded.enabled,
			set_at = excluded.set_at, due = excluded.due, attempts = 0, failing_since = NULL,
			since = CASE WHEN p.enabled AND p.kind = excluded.kind THEN p.since ELSE excluded.since END,
			sent_up_to = CASE WHEN p.enabled AND p.kind = excluded.kind THEN p.sent_up_to ELSE excluded.sent_up_to END`,
		p.AppID, p.Pushkey, userID, p.DeviceID, p.Kind, p.AppDisplayName, p.DeviceDisplayName,
		p.ProfileTag, p.Lang, []byte(p.Data), s.journal.Position(), MaxPushers, p.Enabled, s.now())
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return matrix.Errorf(matrix.Unknown, "a user has at most %d pushers", MaxPushers)
	}
	return nil
}

// kindPusher is the message that a user has set a pusher.
const kindPusher = "pusher"

var errNoJSON = errors.New("its data is no JSON")
