package journal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/cmd/homeserver-bench/bare"
	"homeserver/internal/journal/journalbench"
)

// BenchmarkCommit races the journal against a bare group commit of the same
// rows, of about 500 bytes each.
func BenchmarkCommit(b *testing.B) {
	pool := journalbench.Open(b)
	for _, table := range []string{"notes", "bare_notes"} {
		if _, err := pool.Exec(b.Context(), strings.Replace(notesSchema, "notes", table, 1)); err != nil {
			b.Fatal(err)
		}
	}
	j := started(b, pool, Options{})
	loop, err := bare.StartLoop(b.Context(), pool, func(batch *pgx.Batch, rows []string) {
		room, reader := make([]int64, len(rows)), make([]string, len(rows))
		batch.Queue(`
			INSERT INTO bare_notes
			SELECT j.position - $1 + n.i, n.room, n.reader, n.body
			FROM bare_journal j, unnest($2::bigint[], $3::text[], $4::text[]) WITH ORDINALITY AS n(room, reader, body, i)`,
			len(rows), room, reader, rows)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(loop.Stop)
	body := strings.Repeat("five hundred bytes. ", 25)
	for _, senders := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint("senders=", senders), func(b *testing.B) {
			journalbench.Race(b, senders,
				func(sender, _ int) error { return j.Commit(b.Context(), note(RoomNID(sender+1), body)) },
				func(int, int) error { return loop.Commit(body) })
		})
	}
}
