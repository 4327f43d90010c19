package push

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// What stands in this file is for who sends notifications to push gateways.

// PusherKey identifies a pusher.
type PusherKey struct{ AppID, Pushkey, UserID string }

// HTTPPusher is a pusher of the kind http that is enabled.
type HTTPPusher struct {
	PusherKey
	Data json.RawMessage
	// SetAt is when a client has set it last, in seconds since the epoch.
	SetAt int64
	// Since is the position from which on it is sent anything.
	Since journal.Position
	Progress
}

// Progress is how far a pusher has come that does not keep up with the others.
type Progress struct {
	// Got is the position up to which it has been sent everything; nil: it keeps up.
	Got *journal.Position
	// Due is when it is to be sent the rest. It has failed so many times in a row since
	// FailingSince.
	Due, FailingSince *time.Time
	Attempts          int
}

// OnPusherSet adds a function that is called when a user has set a pusher, here or in
// another process; "": any user may have. It must be quick. Call it before the journal is
// started.
func (s *Service) OnPusherSet(f func(userID string)) { s.onPusher = append(s.onPusher, f) }

func (s *Service) pusherSet(userID string) {
	for _, f := range s.onPusher {
		f(userID)
	}
}

const (
	isSentTo         = ` kind = 'http' AND enabled `
	selectHTTPPusher = `
		SELECT app_id, pushkey, user_id, data, set_at, since, sent_up_to, due, failing_since, attempts FROM pushers WHERE` + isSentTo
)

// UsersWithHTTPPushers lists the users who have pushers that anything is sent to: all, or
// those among some users; nil: all.
func (s *Service) UsersWithHTTPPushers(ctx context.Context, among []string) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT DISTINCT user_id FROM pushers WHERE`+isSentTo+`AND ($1::text[] IS NULL OR user_id = ANY($1))`, among)
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list who has HTTP pushers: %w", err)
	}
	return users, nil
}

// HTTPPushersOf calls do with each pusher of some users.
func (s *Service) HTTPPushersOf(ctx context.Context, users []string, do func(*HTTPPusher)) error {
	rows, _ := s.pool.Query(ctx, selectHTTPPusher+`AND user_id = ANY($1)`, users)
	return s.eachHTTPPusher(ctx, rows, do)
}

// DueHTTPPushers calls do with up to so many pushers that do not keep up and are due, those
// that have waited for the longest first, and returns when the next one is due; zero: there
// is none.
func (s *Service) DueHTTPPushers(ctx context.Context, now time.Time, most int, do func(*HTTPPusher)) (next time.Time, err error) {
	rows, _ := s.pool.Query(ctx, selectHTTPPusher+`AND sent_up_to IS NOT NULL AND due <= $1 ORDER BY due LIMIT $2`, now, most)
	if err := s.eachHTTPPusher(ctx, rows, do); err != nil {
		return next, err
	}
	var first *time.Time
	err = s.pool.QueryRow(ctx, `SELECT min(due) FROM pushers WHERE`+isSentTo+`AND sent_up_to IS NOT NULL AND due > $1`, now).Scan(&first)
	if err != nil {
		return next, fmt.Errorf("read when a pusher is due: %w", err)
	}
	if first != nil {
		next = *first
	}
	return next, nil
}

func (s *Service) eachHTTPPusher(ctx context.Context, rows pgx.Rows, do func(*HTTPPusher)) error {
	var p HTTPPusher
	_, err := pgx.ForEachRow(rows, []any{
		&p.AppID, &p.Pushkey, &p.UserID, (*[]byte)(&p.Data), &p.SetAt, &p.Since, &p.Got, &p.Due, &p.FailingSince, &p.Attempts,
	}, func() error {
		if !event.IsJSON(p.Data) {
			s.rooms.Damage().Found(ctx, fmt.Sprintf("pusher %s of %s", p.AppID, p.UserID), errNoJSON)
			return nil
		}
		one := p
		one.Data = slices.Clone(p.Data)
		do(&one)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read HTTP pushers: %w", err)
	}
	return nil
}

// SaveProgress stores how far pushers have come.
func (s *Service) SaveProgress(ctx context.Context, tx pgx.Tx, keys []PusherKey, progress []Progress) error {
	n := len(keys)
	app, key, user := make([]string, n), make([]string, n), make([]string, n)
	got, due, since, attempts := make([]*journal.Position, n), make([]*time.Time, n), make([]*time.Time, n), make([]int, n)
	for i := range keys {
		app[i], key[i], user[i] = keys[i].AppID, keys[i].Pushkey, keys[i].UserID
		got[i], due[i], since[i], attempts[i] = progress[i].Got, progress[i].Due, progress[i].FailingSince, progress[i].Attempts
	}
	_, err := tx.Exec(ctx, `
		UPDATE pushers p SET sent_up_to = n.sent_up_to, due = n.due, failing_since = n.failing_since, attempts = n.attempts
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::int[])
			AS n (app_id, pushkey, user_id, sent_up_to, due, failing_since, attempts)
		WHERE p.app_id = n.app_id AND p.pushkey = n.pushkey AND p.user_id = n.user_id`, app, key, user, got, due, since, attempts)
	if err != nil {
		return fmt.Errorf("store how far pushers have come: %w", err)
	}
	return nil
}

// RemoveRejected deletes the pushers, of whatever user, whose key a push gateway has
// rejected: those of an app with that key and the URL of that gateway. Push gateway API,
// POST /_matrix/push/v1/notify, rejected.
func (s *Service) RemoveRejected(ctx context.Context, appID, pushkey, gateway string) (users []string, err error) {
	rows, _ := s.pool.Query(ctx, `SELECT user_id, data FROM pushers WHERE kind = 'http' AND app_id = $1 AND pushkey = $2`, appID, pushkey)
	var user string
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&user, &data}, func() error {
		if at, _ := event.StringField(data, "url"); event.IsJSON(data) && at == gateway {
			users = append(users, user)
		}
		return nil
	})
	if err == nil {
		_, err = s.pool.Exec(ctx, `DELETE FROM pushers WHERE kind = 'http' AND app_id = $1 AND pushkey = $2 AND user_id = ANY($3)`, appID, pushkey, users)
	}
	if err != nil {
		return nil, fmt.Errorf("remove the rejected pushers of %s: %w", appID, err)
	}
	return users, nil
}
