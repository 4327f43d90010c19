package bare

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestLoopCommitsEveryRowAtItsPosition(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE notes (position bigint PRIMARY KEY, body int UNIQUE CHECK (body < 1000))`); err != nil {
		t.Fatal(err)
	}
	l, err := StartLoop(t.Context(), pool, func(b *pgx.Batch, rows []int) {
		b.Queue(`INSERT INTO notes SELECT j.position - $1 + n.i, n.body
			FROM bare_journal j, unnest($2::int[]) WITH ORDINALITY AS n(body, i)`, len(rows), rows)
	})
	if err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	for sender := range 16 {
		senders.Go(func() {
			for i := range 20 {
				if err := l.Commit(sender*20 + i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	if err := l.Commit(1000); err == nil || !strings.Contains(err.Error(), "check constraint") {
		t.Errorf("a row that cannot be: got %v", err)
	}
	l.Stop()
	var rows, last, position int
	err = pool.QueryRow(t.Context(), `SELECT count(*), max(n.position), max(j.position) FROM notes n, bare_journal j`).Scan(&rows, &last, &position)
	if err != nil || rows != 320 || last != 320 || position != 320 {
		t.Errorf("%d rows up to %d, the journal is at %d: %v", rows, last, position, err)
	}
}

func TestMessagesAreCopiesOfOneThatThereIs(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	if _, err := StartMessages(t.Context(), pool); err == nil {
		t.Fatal("started without a message to copy")
	}
	pool = postgrestest.New(t)
	_, err := pool.Exec(t.Context(), `
		INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members)
		VALUES (1, '!a', '11', '{$a}', 1, 1, 0), (2, '!b', '11', '{$b}', 1, 1, 0);
		INSERT INTO events (event_nid, room_nid, event_id, type, sender, json, has_url)
		VALUES (1, 1, '$a', 'm.room.message', '@a:x', 'text', false)`)
	if err != nil {
		t.Fatal(err)
	}
	m, err := StartMessages(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	for sender := range 6 {
		if err := m.Commit(sender, 2); err != nil {
			t.Fatal(err)
		}
	}
	m.Stop()
	var first, second, depth int
	err = pool.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE room_nid = 1 AND json = 'text'), count(*) FILTER (WHERE room_nid = 2 AND json = 'text'),
			(SELECT depth FROM bare_rooms WHERE room_nid = 2)
		FROM bare_events`).Scan(&first, &second, &depth)
	if err != nil || first != 3 || second != 3 || depth != 4 {
		t.Errorf("%d and %d messages, depth %d: %v", first, second, depth, err)
	}
}

func TestRingAnswersAllThatWait(t *testing.T) {
	t.Parallel()
	c, err := StartChime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} {
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				if got, err := get(t.Context(), c); err != nil || got != want {
					t.Errorf("got %q (%v), want %q", got, err, want)
				}
			})
		}
		untilWaiting(t, c, 8)
		c.Ring([]byte(want))
		clients.Wait()
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAClientThatGoesAwayWaitsNoMore(t *testing.T) {
	t.Parallel()
	c, err := StartChime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := get(ctx, c); gone <- err }()
	untilWaiting(t, c, 1)
	cancel()
	if err := <-gone; err == nil {
		t.Error("got an answer")
	}
	untilWaiting(t, c, 0)
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

func get(ctx context.Context, c *Chime) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func untilWaiting(t *testing.T, c *Chime, n int) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); c.Waiting() != n; {
		if time.Now().After(late) {
			t.Fatalf("%d wait instead of %d", c.Waiting(), n)
		}
	}
}

func TestBareHandlerAnswersUntilItsInputEnds(t *testing.T) {
	t.Parallel()
	input, end := io.Pipe()
	output, address := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- ServeAnswer(t.Context(), `{"a":1}`, input, address) }()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/any/other"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+strings.TrimSpace(line)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(body) != `{"a":1}` || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %q %v (%v)", path, body, response.Header, err)
		}
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
