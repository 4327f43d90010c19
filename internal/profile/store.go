package profile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
)

type row struct {
	DisplayName *string
	AvatarURL   *string
	Fields      string
}

// profile returns the profile of a row. Fields that are damaged are as good as none:
// the next one that is set replaces them.
func (r row) profile(ctx context.Context, userID string, log *postgres.Damage) Profile {
	p := Profile{Fields: map[string]json.RawMessage{}}
	if r.DisplayName != nil {
		p.DisplayName = *r.DisplayName
	}
	if r.AvatarURL != nil {
		p.AvatarURL = *r.AvatarURL
	}
	if err := json.Unmarshal([]byte(r.Fields), &p.Fields); err != nil || p.Fields == nil {
		log.Found(ctx, "profile of "+userID, fmt.Errorf("read its fields: %w", cmp.Or(err, errNoObject)))
		p.Fields = map[string]json.RawMessage{}
	}
	return p
}

var errNoObject = errors.New("they are no object")

// load reads a profile; found is false where the user has never set anything.
func (s *Service) load(ctx context.Context, userID string) (p Profile, found bool, err error) {
	rows, err := s.pool.Query(ctx, `SELECT displayname, avatar_url, fields FROM profiles WHERE user_id = $1`, userID)
	if err != nil {
		return Profile{}, false, fmt.Errorf("load the profile of %s: %w", userID, err)
	}
	stored, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return Profile{}, false, nil
	}
	if err != nil {
		return Profile{}, false, fmt.Errorf("load the profile of %s: %w", userID, err)
	}
	return stored.profile(ctx, userID, s.damage), true, nil
}

// loadMany reads the names and avatars that there are for the users.
func (s *Service) loadMany(ctx context.Context, userIDs []string) (map[string]Profile, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT user_id, coalesce(displayname, ''), coalesce(avatar_url, '') FROM profiles WHERE user_id = ANY($1)`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("load profiles: %w", err)
	}
	profiles := make(map[string]Profile, len(userIDs))
	var userID string
	var p Profile
	_, err = pgx.ForEachRow(rows, []any{&userID, &p.DisplayName, &p.AvatarURL}, func() error {
		profiles[userID] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load profiles: %w", err)
	}
	return profiles, nil
}

// lock reads a profile, making it if need be, and locks its row until the end of the
// transaction.
func (s *Service) lock(ctx context.Context, tx pgx.Tx, userID string) (Profile, error) {
	rows, err := tx.Query(ctx, `
		INSERT INTO profiles (user_id) VALUES ($1)
		ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id
		RETURNING displayname, avatar_url, fields`, userID)
	if err != nil {
		return Profile{}, fmt.Errorf("lock the profile of %s: %w", userID, err)
	}
	stored, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return Profile{}, fmt.Errorf("lock the profile of %s: %w", userID, err)
	}
	return stored.profile(ctx, userID, s.damage), nil
}

// store writes a profile whose row is locked.
func store(ctx context.Context, tx pgx.Tx, userID string, p Profile) error {
	fields, err := matrix.EncodeJSON(p.Fields)
	if err != nil {
		return fmt.Errorf("store the profile of %s: %w", userID, err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE profiles SET displayname = nullif($2, ''), avatar_url = nullif($3, ''), fields = $4
		WHERE user_id = $1`, userID, p.DisplayName, p.AvatarURL, string(fields))
	if err != nil {
		return fmt.Errorf("store the profile of %s: %w", userID, err)
	}
	return nil
}

// remove deletes a user's profile.
func remove(ctx context.Context, pool *pgxpool.Pool, userID string) error {
	if _, err := pool.Exec(ctx, `DELETE FROM profiles WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("delete the profile of %s: %w", userID, err)
	}
	return nil
}
