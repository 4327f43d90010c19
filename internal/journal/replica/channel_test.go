package replica

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// patience turns what would hang into a failure.
const patience = time.Minute

// process is a channel and what it has heard.
type process struct {
	*Channel
	heard, joined, missed chan string
}

// started returns the channel of one more process.
func started(t *testing.T, pool *pgxpool.Pool) *process {
	t.Helper()
	const room = 10_000
	p := &process{New(pool, slog.New(slog.DiscardHandler)), make(chan string, room), make(chan string, room), make(chan string, room)}
	p.Handle("word", func(data string) { p.heard <- data })
	p.OnJoined(func() { p.joined <- "joined" })
	p.OnMissed(func() { p.missed <- "missed" })
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// together returns two processes that know of each other.
func together(t *testing.T, pool *pgxpool.Pool) (a, b *process) {
	t.Helper()
	a = started(t, pool)
	b = started(t, pool)
	next(t, a.joined) // a has heard b, which has heard nobody yet
	for b.Alone() {
		a.Send("word", "are you there?")
		if next(t, b.heard) == "are you there?" {
			break
		}
	}
	return a, b
}

func next(t *testing.T, from chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(patience):
		t.Fatal("nothing was heard")
		return ""
	}
}

func TestMessagesReachOtherProcessesInOrder(t *testing.T) {
	t.Parallel()
	a, b := together(t, postgrestest.New(t))
	const number = 500
	for i := range number {
		a.Send("word", strconv.Itoa(i)+" "+strings.Repeat("é", i))
	}
	a.Send("unknown", "of another version")
	for i := range number {
		if got, want := next(t, b.heard), strconv.Itoa(i)+" "+strings.Repeat("é", i); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	b.Send("word", "answer")
	if got := next(t, a.heard); got != "answer" {
		t.Errorf("a heard %q first: its own words?", got)
	}
	b.Send("word", strings.Repeat("x", MaxData))
	if got := next(t, a.heard); len(got) != MaxData {
		t.Errorf("of the longest message %d bytes were heard", len(got))
	}
}

func TestTransactionsTellOnlyWhatIsCommitted(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a, b := together(t, pool)
	tell := func(word string, end error) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return errors.Join(a.Tell(t.Context(), tx, "word", word), end)
		})
	}
	if err := tell("rolled back", errors.New("no")); err == nil {
		t.Fatal("no error")
	}
	if err := tell("committed", nil); err != nil {
		t.Fatal(err)
	}
	batch := &pgx.Batch{}
	a.Queue(batch, "word", "queued")
	if err := pool.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	if got := []string{next(t, b.heard), next(t, b.heard)}; !slices.Equal(got, []string{"committed", "queued"}) {
		t.Errorf("heard %q", got)
	}
}

func TestWhoIsAloneSaysNothing(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a := started(t, pool)
	next(t, a.missed)
	if !a.Alone() {
		t.Error("the only process is not alone")
	}
	batch := &pgx.Batch{}
	a.Queue(batch, "word", "to nobody")
	if batch.Len() != 0 {
		t.Error("a message to nobody was queued")
	}
	command := New(pool, slog.New(slog.DiscardHandler))
	if command.Alone() {
		t.Error("who does not listen cannot know to be alone")
	}
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return command.Tell(t.Context(), tx, "word", "from a command") })
	if err != nil {
		t.Fatal(err)
	}
	if got := next(t, a.heard); got != "from a command" {
		t.Errorf("heard %q", got)
	}
	command.Stop() // without a start
}

func TestLostConnectionIsMadeAgainAndSaid(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	a, b := together(t, pool)
	next(t, b.missed)
	_, err := pool.Exec(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	if err != nil {
		t.Fatal(err)
	}
	next(t, b.missed)
	next(t, a.missed)
	next(t, a.missed)
	for {
		a.Send("word", "again")
		select {
		case <-b.heard:
			return
		case <-time.After(100 * time.Millisecond):
			if t.Context().Err() != nil {
				t.Fatal("nothing is heard on the new connection")
			}
		}
	}
}

func TestStartSaysThatThereIsNoDatabase(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	c := New(pool, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	c.Stop()
}
