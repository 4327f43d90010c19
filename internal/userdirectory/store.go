package userdirectory

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/profile"
	"homeserver/internal/textfold"
)

// store enters people under their names and user IDs.
func store(ctx context.Context, tx pgx.Tx, userIDs []string, profiles map[string]profile.Profile) error {
	localparts, names, words := make([]string, len(userIDs)), make([]string, len(userIDs)), make([]string, len(userIDs))
	for i, userID := range userIDs {
		localpart, _, _ := strings.Cut(strings.TrimPrefix(userID, "@"), ":")
		name := profiles[userID].DisplayName
		localparts[i], names[i] = strings.ToLower(localpart), foldedName(name)
		words[i] = textfold.Folded(name + " " + localpart)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO user_directory (user_id, localpart, name, words)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
		ON CONFLICT (user_id) DO UPDATE SET name = excluded.name, words = excluded.words`,
		userIDs, localparts, names, words)
	if err != nil {
		return fmt.Errorf("write the user directory: %w", err)
	}
	return nil
}

// find lists those who match, the best first, then those with a name.
func (s *Service) find(ctx context.Context, q query) ([]string, error) {
	var rows pgx.Rows
	if q.userID != "" {
		rows, _ = s.pool.Query(ctx, `
			SELECT user_id FROM user_directory WHERE starts_with(lower(user_id), $1)
			ORDER BY lower(user_id) <> $1, name = '', user_id LIMIT $2`, q.userID, maxCandidates)
	} else {
		rows, _ = s.pool.Query(ctx, `
			SELECT user_id FROM user_directory
			WHERE (SELECT bool_and(strpos(words, w) > 0) FROM unnest($2::text[]) AS w)
			ORDER BY CASE
					WHEN name = $1 OR localpart = $1 THEN 0
					WHEN starts_with(name, $1) OR starts_with(localpart, $1) THEN 1
					WHEN (SELECT bool_and(strpos(words, ' ' || w) > 0) FROM unnest($2::text[]) AS w) THEN 2
					ELSE 3 END,
				name = '', user_id LIMIT $3`, q.whole, q.words, maxCandidates)
	}
	userIDs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("search the user directory: %w", err)
	}
	return userIDs, nil
}
