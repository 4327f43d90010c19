package delayedevents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// delayed is a row of the table of delayed events.
type delayed struct {
	ID          string           `db:"delay_id"`
	UserID      string           `db:"user_id"`
	DeviceID    string           `db:"device_id"`
	Guest       bool             `db:"guest"`
	RoomID      string           `db:"room_id"`
	Type        string           `db:"type"`
	StateKey    *string          `db:"state_key"`
	Content     json.RawMessage  `db:"content"`
	Timestamp   *int64           `db:"ts"`
	TxnID       *string          `db:"txn_id"`
	Position    journal.Position `db:"position"`
	Delay       int64            `db:"delay"`
	Since       int64            `db:"since"`
	Failed      int              `db:"failed"`
	FinalisedAt *int64           `db:"finalised_at"`
	ByAction    bool             `db:"by_action"`
	EventID     *string          `db:"event_id"`
	Error       json.RawMessage  `db:"error"`
}

const columns = `delay_id, user_id, device_id, guest, room_id, type, state_key, content, ts, txn_id, position, delay, since, failed, finalised_at, by_action, event_id, error`

// due is when the event is to be sent.
func (d *delayed) due() int64 { return d.Since + d.Delay }

// size is how many bytes the event takes, as they are counted.
func (d *delayed) size() int {
	const beside = 300
	n := beside + len(d.Content) + len(d.Type) + len(d.RoomID)
	if d.StateKey != nil {
		n += len(*d.StateKey)
	}
	return n
}

// insert stores a scheduled event and returns its ID, or that of the one which the same
// request has scheduled before. M_LIMIT_EXCEEDED for more than there may be.
func (s *Service) insert(ctx context.Context, d *delayed, now int64) (delayID string, err error) {
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('delayed events ' || $1, 0))`, d.UserID); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			SELECT delay_id FROM delayed_events WHERE user_id = $1 AND device_id = $2 AND room_id = $3 AND type = $4 AND txn_id = $5`,
			d.UserID, d.DeviceID, d.RoomID, d.Type, d.TxnID).Scan(&delayID)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := checkSpace(ctx, tx, d, now); err != nil {
			return err
		}
		delayID = d.ID
		_, err = tx.Exec(ctx, `
			INSERT INTO delayed_events (delay_id, user_id, device_id, guest, room_id, type, state_key, content, ts, txn_id, position, delay, since, due, bytes)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			d.ID, d.UserID, d.DeviceID, d.Guest, d.RoomID, d.Type, d.StateKey, []byte(d.Content), d.Timestamp, d.TxnID, d.Position, d.Delay, d.Since,
			d.due(), d.size())
		if err != nil || s.o.Channel == nil {
			return err
		}
		return s.o.Channel.Tell(ctx, tx, kindScheduled, "")
	})
	if err != nil {
		return "", fmt.Errorf("schedule an event: %w", err)
	}
	return delayID, nil
}

// checkSpace refuses an event for which its user, or all users together, have no space left.
// The user may come back when the next event is sent.
func checkSpace(ctx context.Context, tx pgx.Tx, d *delayed, now int64) error {
	var own, ownBytes, all, allBytes int64
	var next *int64
	err := tx.QueryRow(ctx, `
		SELECT u.number, u.bytes, u.next, a.number, a.bytes
		FROM (SELECT count(*) AS number, coalesce(sum(bytes), 0) AS bytes, min(due) AS next
			FROM delayed_events WHERE user_id = $1 AND finalised_at IS NULL) u,
		(SELECT count(*) AS number, coalesce(sum(bytes), 0) AS bytes FROM delayed_events WHERE due IS NOT NULL) a`,
		d.UserID).Scan(&own, &ownBytes, &next, &all, &allBytes)
	if err != nil {
		return fmt.Errorf("count the delayed events: %w", err)
	}
	size := int64(d.size())
	switch {
	case own >= MaxScheduled || ownBytes+size > maxScheduledBytes:
		wait := time.Second
		if next != nil {
			wait = max(wait, time.Duration(*next-now)*time.Millisecond)
		}
		refused := matrix.TooMany(wait)
		refused.Message = fmt.Sprintf("a user has at most %d delayed events of together %d bytes", MaxScheduled, maxScheduledBytes)
		return refused
	case all >= maxTotal || allBytes+size > maxTotalBytes:
		refused := matrix.TooMany(time.Minute)
		refused.Message = "the server has as many delayed events as it may have"
		return refused
	}
	return nil
}

// restart puts an event off, and reports whether it is scheduled.
func (s *Service) restart(ctx context.Context, delayID string, now int64) (done bool, err error) {
	return s.update(ctx, `since = $2, due = $2 + delay WHERE delay_id = $1 AND due IS NOT NULL AND NOT sending`, delayID, now)
}

// cancelScheduled cancels an event, and reports whether it was scheduled.
func (s *Service) cancelScheduled(ctx context.Context, delayID string, now int64) (done bool, err error) {
	return s.update(ctx, `due = NULL, finalised_at = $2, by_action = true WHERE delay_id = $1 AND due IS NOT NULL AND NOT sending`, delayID, now)
}

// release notes that an event was not sent, and stays scheduled.
func (s *Service) release(ctx context.Context, delayID string) error {
	_, err := s.update(ctx, `sending = false WHERE delay_id = $1`, delayID)
	return err
}

// putOff has an event that could not be sent, or may have been, sent at some time.
func (s *Service) putOff(ctx context.Context, delayID string, due int64) error {
	_, err := s.update(ctx, `due = $2, failed = failed + 1 WHERE delay_id = $1 AND due IS NOT NULL`, delayID, due)
	return err
}

// postpone has an event that certainly was not sent be sent at a later time. Until then it is
// scheduled like others.
func (s *Service) postpone(ctx context.Context, delayID string, due int64) error {
	_, err := s.update(ctx, `due = $2, failed = failed + 1, sending = false WHERE delay_id = $1 AND due IS NOT NULL`, delayID, due)
	return err
}

func (s *Service) update(ctx context.Context, set string, args ...any) (done bool, err error) {
	tag, err := s.o.Pool.Exec(ctx, `UPDATE delayed_events SET `+set, args...)
	if err != nil {
		return false, fmt.Errorf("change a delayed event: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// claim marks an event as being sent, if it is scheduled, and returns it. M_NOT_FOUND if
// there is none.
func (s *Service) claim(ctx context.Context, delayID string) (*delayed, error) {
	if _, err := s.update(ctx, `sending = true WHERE delay_id = $1 AND due IS NOT NULL`, delayID); err != nil {
		return nil, err
	}
	return s.find(ctx, delayID)
}

// claimDue marks events that are due as being sent, and returns them in the order of their
// times.
func (s *Service) claimDue(ctx context.Context, now int64) ([]*delayed, error) {
	rows, _ := s.o.Pool.Query(ctx, `
		UPDATE delayed_events SET sending = true WHERE delay_id IN (
			SELECT delay_id FROM delayed_events WHERE due <= $1 ORDER BY due, since, delay_id LIMIT $2)
		RETURNING `+columns, now, dueAtOnce)
	due, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[delayed])
	if err != nil {
		return nil, fmt.Errorf("find the delayed events that are due: %w", err)
	}
	slices.SortFunc(due, func(a, b *delayed) int { return int(a.due() - b.due()) })
	return due, nil
}

// nextDue returns when the next event is due; nil: there is none.
func (s *Service) nextDue(ctx context.Context) (next *int64, err error) {
	if err := s.o.Pool.QueryRow(ctx, `SELECT min(due) FROM delayed_events WHERE due IS NOT NULL`).Scan(&next); err != nil {
		return nil, fmt.Errorf("find the next delayed event: %w", err)
	}
	return next, nil
}

// outcome is how an event was finalised.
type outcome struct {
	eventID  string // "": it was not sent
	err      []byte // why not; nil: it was cancelled
	at       int64
	byAction bool
}

// finalise notes the outcome of an event. Of those of a user so many are kept.
func (s *Service) finalise(ctx context.Context, d *delayed, o outcome) error {
	_, err := s.o.Pool.Exec(ctx, `
		WITH old AS (
			DELETE FROM delayed_events WHERE delay_id IN (
				SELECT delay_id FROM delayed_events WHERE user_id = $6 AND finalised_at IS NOT NULL
				ORDER BY finalised_at DESC, delay_id OFFSET $7 - 1))
		UPDATE delayed_events SET due = NULL, sending = false, finalised_at = $2, by_action = $3, event_id = nullif($4, ''), error = $5
		WHERE delay_id = $1 AND finalised_at IS NULL`, d.ID, o.at, o.byAction, o.eventID, o.err, d.UserID, maxFinalised)
	if err != nil {
		return fmt.Errorf("finalise a delayed event: %w", err)
	}
	return nil
}

// prune removes what was finalised before a time.
func (s *Service) prune(ctx context.Context, before int64) error {
	if _, err := s.o.Pool.Exec(ctx, `DELETE FROM delayed_events WHERE finalised_at < $1`, before); err != nil {
		return fmt.Errorf("remove old delayed events: %w", err)
	}
	return nil
}

// find reads a delayed event. M_NOT_FOUND if there is none.
func (s *Service) find(ctx context.Context, delayID string) (*delayed, error) {
	rows, _ := s.o.Pool.Query(ctx, `SELECT `+columns+` FROM delayed_events WHERE delay_id = $1`, delayID)
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[delayed])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errGone()
	}
	if err != nil {
		return nil, fmt.Errorf("read a delayed event: %w", err)
	}
	return d, nil
}

// Erase deletes what a user has scheduled, who is deactivated and is to be erased.
func (s *Service) Erase(ctx context.Context, userID string) error {
	if _, err := s.o.Pool.Exec(ctx, `DELETE FROM delayed_events WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("erase the delayed events of %s: %w", userID, err)
	}
	return nil
}

// Checks returns the checks of delayed events, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Delayed events: their users", "delayed_events", "user_id", "accounts", "user_id").Check()}
}
