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
		ON CONFLICT (user_id) DO UPDATE SET name = excluded.name, words = excluded.words, is_old = false`,
		userIDs, localparts, names, words)
	if err != nil {
		return fmt.Errorf("write the user directory: %w", err)
	}
	return nil
}

// entriesAnew is how many people are entered anew in one step.
const entriesAnew = 500

// older lists people whom an older version of the server has entered; none once all are
// entered anew.
func older(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, _ := tx.Query(ctx, `SELECT user_id FROM user_directory WHERE is_old LIMIT $1`, entriesAnew)
	userIDs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list old entries of the user directory: %w", err)
	}
	return userIDs, nil
}

// findPeople has the arguments of a query. All parts of the words must be in the index of
// parts, or the local part be one as it is: two queries, since PostgreSQL would work out the
// parts of each match again for a condition with OR.
const findPeople = `
	WITH people AS (
		SELECT user_id, name, localpart, words, joined_name(name, localpart) AS joined FROM user_directory
		WHERE characters_and_pairs(words, joined_name(name, localpart)) @> $4::text[]
		UNION ALL
		SELECT user_id, name, localpart, words, joined_name(name, localpart) FROM user_directory
		WHERE localpart = $5 AND (characters_and_pairs(words, joined_name(name, localpart)) @> $4::text[]) IS NOT TRUE)
	SELECT user_id FROM people
	WHERE $1 <> '' AND starts_with(lower(user_id), $1)
		OR cardinality($3::text[]) > 0
			AND (SELECT bool_and(strpos(words, w) > 0 OR strpos(joined, w) > 0) FROM unnest($3::text[]) AS w)
	ORDER BY CASE
			WHEN name = $2 OR localpart = $2 OR lower(user_id) = $1 THEN 0
			WHEN starts_with(name, $2) OR starts_with(localpart, $2) OR starts_with(joined, ' ' || $2) THEN 1
			WHEN (SELECT bool_and(strpos(words, ' ' || w) > 0 OR strpos(joined, ' ' || w) > 0) FROM unnest($3::text[]) AS w) THEN 2
			ELSE 3 END,
		name = '', user_id LIMIT $6`

func (q *query) arguments() []any {
	return []any{q.userID, q.whole, q.words, partsOf(q.words), nonEmpty(q.localpart), maxCandidates}
}

// find lists the matches, the best first, then those with a name.
func (s *Service) find(ctx context.Context, q query) ([]string, error) {
	userIDs, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, findPeople, q.arguments()...)
		return rows
	}, pgx.RowTo[string], reserve.CostOfText)
	if err != nil {
		return nil, fmt.Errorf("search the user directory: %w", err)
	}
	return userIDs, nil
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// partsOf returns the pairs of characters in words, and the words of one character; nil for
// no words.
func partsOf(words []string) []string {
	var parts []string
	for _, w := range words {
		runes := []rune(w)
		if len(runes) == 1 {
			parts = append(parts, w)
		}
		for i := range len(runes) - 1 {
			parts = append(parts, string(runes[i:i+2]))
		}
	}
	return parts
}
