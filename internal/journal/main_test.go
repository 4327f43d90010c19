package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// patience turns what would hang into a failure.
const patience = time.Minute

// never is a Watch that does not interfere.
const never = time.Hour

// notesSchema is the table of the entries that these tests write.
const notesSchema = `CREATE TABLE notes (
	position bigint PRIMARY KEY,
	room     bigint NOT NULL,
	reader   text   NOT NULL,
	body     text   NOT NULL CHECK (body <> 'bad'))`

// notes writes entries whose value is the body of the note. Some bodies are
// special.
var notes = &Table{Name: "notes", Queue: queueNotes}

func init() { notes.Read, notes.Decode = readOtherNotes, decodeNote }

const (
	refusedByDatabase = "bad"     // the table's constraint
	refusedByTable    = "refused" // Queue returns an error
	unfit             = "unfit"   // a value that pgx cannot send
	panics            = "panics"  // Queue panics
)

func queueNotes(b *pgx.Batch, entries []*Entry) error {
	var position, room []int64
	var reader, body []string
	for _, e := range entries {
		text := e.Value.(string)
		switch text {
		case refusedByTable:
			return errors.New("this note is refused")
		case unfit:
			b.Queue("SELECT $1::int", struct{}{})
		case panics:
			panic("this note is not understood")
		}
		position, room = append(position, int64(e.Position)), append(room, int64(e.Topics[0].Room))
		reader, body = append(reader, e.Topics[0].User), append(body, text)
	}
	b.Queue(`INSERT INTO notes SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])`,
		position, room, reader, body)
	return nil
}

// notUnderstood is a note that cannot be read back.
const notUnderstood = "?"

func readOtherNotes(ctx context.Context, conn *pgx.Conn, after, upTo Position, most int) ([]*Entry, error) {
	rows, _ := conn.Query(ctx, `SELECT position, room, reader, body FROM notes WHERE position > $1 AND position <= $2`, after, upTo)
	return CollectEntries(rows, most, func(row pgx.CollectableRow) (*Entry, error) {
		e := &Entry{Table: notes, Topics: make([]Topic, 1)}
		var body string
		err := row.Scan(&e.Position, &e.Topics[0].Room, &e.Topics[0].User, &body)
		if body == notUnderstood {
			return nil, errors.New("this note is not understood")
		}
		e.Value, e.Size = body, len(body)
		return e, err
	})
}

func decodeNote(payload []byte) (any, error) {
	if string(payload) == notUnderstood {
		return nil, errors.New("this note is not understood")
	}
	return string(payload), nil
}

func note(room RoomNID, body string) *Write {
	return &Write{Entries: []*Entry{{Table: notes, Topics: []Topic{{Room: room}}, Value: body, Size: len(body)}}}
}

func privateNote(user, body string) *Write {
	return &Write{Entries: []*Entry{{Table: notes, Topics: []Topic{{User: user}}, Value: body, Size: len(body)}}}
}

// notesPool returns a pool on a new database with the table of notes.
func notesPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := postgrestest.New(t)
	if _, err := pool.Exec(t.Context(), notesSchema); err != nil {
		t.Fatal(err)
	}
	return pool
}

// started returns a journal that runs until the test ends.
func started(t testing.TB, pool *pgxpool.Pool, o Options) *Journal {
	t.Helper()
	j := New(pool, o)
	start(t, j)
	return j
}

func start(t testing.TB, j *Journal) {
	t.Helper()
	j.Add(notes)
	if err := j.Start(t.Context()); err != nil {
		t.Fatalf("start the journal: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := j.Stop(ctx); err != nil {
			t.Errorf("stop the journal: %v", err)
		}
	})
}

func commit(t testing.TB, j *Journal, w *Write) {
	t.Helper()
	if err := j.Commit(t.Context(), w); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// within returns a context that ends long after the test should have ended.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// row is a note as it stands in the database.
type row struct {
	Position Position
	Body     string
}

// written reads the notes after a position, and fails the test if their
// positions are not the next ones without a gap.
func written(t testing.TB, pool *pgxpool.Pool, after Position) []row {
	t.Helper()
	rows, err := readNotes(context.Background(), pool, after, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func readNotes(ctx context.Context, pool *pgxpool.Pool, after, upTo Position) ([]row, error) {
	q, err := pool.Query(ctx, `SELECT position, body FROM notes WHERE position > $1 AND position <= $2 ORDER BY position`, after, upTo)
	if err != nil {
		return nil, err
	}
	rows, err := pgx.CollectRows(q, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		if want := after + 1 + Position(i); r.Position != want {
			return nil, fmt.Errorf("the note at %d has position %d", want, r.Position)
		}
	}
	return rows, nil
}

func bodies(rows []row) []string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = r.Body
	}
	return list
}

func values(entries []*Entry) []string {
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Value.(string)
	}
	return list
}

// checkOnce checks that what was acknowledged is written once, and that nothing
// is written but that and, perhaps, what failed with a lost connection.
func checkOnce(t testing.TB, pool *pgxpool.Pool, acknowledged, failed []string) {
	t.Helper()
	got := bodies(written(t, pool, 0))
	slices.Sort(got)
	if n := len(got); n != len(slices.Compact(slices.Clone(got))) {
		t.Errorf("of %d notes some are written twice", n)
	}
	for _, body := range acknowledged {
		if _, ok := slices.BinarySearch(got, body); !ok {
			t.Errorf("%q was acknowledged and is lost", body)
		}
	}
	known := slices.Concat(acknowledged, failed)
	slices.Sort(known)
	for _, body := range got {
		if _, ok := slices.BinarySearch(known, body); !ok {
			t.Errorf("%q was not asked for", body)
		}
	}
}

// holdJournal keeps everybody from writing until the function it returns is
// called.
func holdJournal(t testing.TB, pool *pgxpool.Pool) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT position FROM journal FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(context.Background()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("release the journal: %v", err)
		}
	}
}

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	if !postgres.Unavailable(err) {
		t.Errorf("got error %v, want an outage", err)
	}
}
