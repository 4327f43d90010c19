package push

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/journal"
)

// errRulesMoved says that a user's rules are not those that new ones were made from.
const errRulesMoved = "HS003"

// queueRules writes the rules of the users in a group, unless another process has changed
// them meanwhile. Each user is in the group once.
func queueRules(b *pgx.Batch, entries []*journal.Entry) error {
	n := len(entries)
	user, rules := make([]string, n), make([][]byte, n)
	position, before := make([]journal.Position, n), make([]journal.Position, n)
	for i, entry := range entries {
		c := entry.Value.(*Changed)
		user[i], rules[i], position[i], before[i] = c.UserID, c.rules, entry.Position, c.before
	}
	b.Queue(`
		WITH n AS (
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[]) AS n(user_id, position, rules, before)
		), changed AS (
			INSERT INTO push_rules AS r (user_id, position, rules) SELECT user_id, position, rules FROM n
			ON CONFLICT (user_id) DO UPDATE SET position = excluded.position, rules = excluded.rules
			WHERE r.position = (SELECT n.before FROM n WHERE n.user_id = excluded.user_id)
			RETURNING 1
		)
		SELECT expect_rows(count(*), $5, '`+errRulesMoved+`') FROM changed`, user, position, rules, before, n)
	return nil
}

// loadRules reads a user's own and changed rules, and the position of the last change;
// nothing and 0 for a user who has changed none.
func (s *Service) loadRules(ctx context.Context, userID string) (*ownRules, journal.Position, error) {
	own := &ownRules{Predefined: map[string]changedRule{}}
	var raw []byte
	var changed journal.Position
	err := s.pool.QueryRow(ctx, `SELECT rules, position FROM push_rules WHERE user_id = $1`, userID).Scan(&raw, &changed)
	if errors.Is(err, pgx.ErrNoRows) {
		return own, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("load the push rules of %s: %w", userID, err)
	}
	if err := json.Unmarshal(raw, own); err != nil || own.Predefined == nil {
		s.rooms.Damage().Found(ctx, "push rules of "+userID, cmp.Or(err, errNoRules))
		own = &ownRules{Predefined: map[string]changedRule{}} // the next change replaces them
	}
	return own, changed, nil
}

var errNoRules = errors.New("they are no object")

// readOthers reads which users' rules other processes have changed in (after, upTo].
func (s *Service) readOthers(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `SELECT user_id, position FROM push_rules WHERE position > $1 AND position <= $2`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		c, at := &Changed{}, journal.Position(0)
		err := row.Scan(&c.UserID, &at)
		return &journal.Entry{Position: at, Table: s.table, Topics: []journal.Topic{{User: c.UserID}}, Value: c, Size: len(c.UserID)}, err
	})
}

// Erase deletes the push rules of a user who is deactivated and is to be erased. The
// pushers went with the devices.
func (s *Service) Erase(ctx context.Context, userID string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM push_rules WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("erase the push rules of %s: %w", userID, err)
	}
	s.rulesets.Forget(userID)
	return nil
}

// Checks returns the checks of push rules, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Push rules: their users", "push_rules", "user_id", "accounts", "user_id").Check()}
}
