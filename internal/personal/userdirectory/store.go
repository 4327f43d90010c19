package userdirectory

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/profile"
	"homeserver/internal/reserve"
	"homeserver/internal/text"
)

// store enters people under their names and user IDs.
func store(ctx context.Context, tx pgx.Tx, userIDs []string, profiles map[string]profile.Profile) error {
	localparts, names, words := make([]string, len(userIDs)), make([]string, len(userIDs)), make([]string, len(userIDs))
	for i, userID := range userIDs {
		localpart, _, _ := strings.Cut(strings.TrimPrefix(userID, "@"), ":")
		name := profiles[userID].DisplayName
		localparts[i], names[i] = strings.ToLower(localpart), foldedName(name)
		words[i] = text.Folded(name + " " + localpart)
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

// joiners are characters that may be inside a word.
const joiners = "'’‘ʼ.·"

// find lists the matches, the best first, then those with a name.
func (s *Service) find(ctx context.Context, q query) ([]string, error) {
	userIDs, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			WITH people AS (
				SELECT user_id, name, localpart, words, ' ' || translate(name || ' ' || localpart, $4, '') AS joined
				FROM user_directory)
			SELECT user_id FROM people
			WHERE $1 <> '' AND starts_with(lower(user_id), $1)
				OR cardinality($3::text[]) > 0
					AND (SELECT bool_and(strpos(words, w) > 0 OR strpos(joined, w) > 0) FROM unnest($3::text[]) AS w)
			ORDER BY CASE
					WHEN name = $2 OR localpart = $2 OR lower(user_id) = $1 THEN 0
					WHEN starts_with(name, $2) OR starts_with(localpart, $2) OR starts_with(joined, ' ' || $2) THEN 1
					WHEN (SELECT bool_and(strpos(words, ' ' || w) > 0 OR strpos(joined, ' ' || w) > 0) FROM unnest($3::text[]) AS w) THEN 2
					ELSE 3 END,
				name = '', user_id LIMIT $5`, q.userID, q.whole, q.words, joiners, maxCandidates)
		return rows
	}, pgx.RowTo[string], reserve.CostOfText)
	if err != nil {
		return nil, fmt.Errorf("search the user directory: %w", err)
	}
	return userIDs, nil
}
