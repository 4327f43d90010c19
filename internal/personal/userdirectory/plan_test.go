package userdirectory

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/postgres/postgrestest"
)

// People are found by an index, with statistics and without, and not by a look at all.
func TestFindsByAnIndex(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO user_directory (user_id, localpart, name, words)
		SELECT '@' || l || ':localhost', l, '', ' ' || l FROM (SELECT md5(n::text) FROM generate_series(1, 5000) n) AS m(l)`)
	for _, statistics := range []string{"no", "with"} {
		for _, term := range []string{"abc", "abcd ef", "a0b:loc", "@abc:localhost"} {
			q := newQuery(term)
			rows, _ := pool.Query(t.Context(), `EXPLAIN `+findPeople, q.arguments()...)
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan") || !strings.Contains(text, "user_directory_") {
				t.Errorf("%s statistics, %q:\n%s", statistics, term, text)
			}
		}
		exec(`ANALYZE user_directory`)
	}
}
