package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

type row struct {
	DisplayName *string
	AvatarURL   *string
	Fields      string
}

func (r row) profile() (Profile, error) {
	p := Profile{Fields: map[string]json.RawMessage{}}
	if r.DisplayName != nil {
		p.DisplayName = *r.DisplayName
	}
	if r.AvatarURL != nil {
		p.AvatarURL = *r.AvatarURL
	}
	if err := json.Unmarshal([]byte(r.Fields), &p.Fields); err != nil {
		return Profile{}, fmt.Errorf("read the fields of a profile: %w", err)
	}
	return p, nil
}

// load reads a profile; found is false where the user has never set anything.
func load(ctx context.Context, pool *pgxpool.Pool, userID string) (p Profile, found bool, err error) {
	rows, err := pool.Query(ctx, `SELECT displayname, avatar_url, fields FROM profiles WHERE user_id = $1`, userID)
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
	p, err = stored.profile()
	return p, err == nil, err
}

// loadMany reads the profiles that there are for the users.
func loadMany(ctx context.Context, pool *pgxpool.Pool, userIDs []string) (map[string]Profile, error) {
	rows, err := pool.Query(ctx, `SELECT user_id, displayname, avatar_url, fields FROM profiles WHERE user_id = ANY($1)`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("load profiles: %w", err)
	}
	profiles := make(map[string]Profile, len(userIDs))
	var userID string
	var stored row
	_, err = pgx.ForEachRow(rows, []any{&userID, &stored.DisplayName, &stored.AvatarURL, &stored.Fields}, func() (err error) {
		profiles[userID], err = stored.profile()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load profiles: %w", err)
	}
	return profiles, nil
}

// lock reads a profile, making it if need be, and keeps its row locked until the
// end of the transaction.
func lock(ctx context.Context, tx pgx.Tx, userID string) (Profile, error) {
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
	return stored.profile()
}

// store writes a profile whose row is locked.
func store(ctx context.Context, tx pgx.Tx, userID string, p Profile) error {
	fields, err := encode(p.Fields)
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
