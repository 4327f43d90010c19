package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

const alice, bob = "@alice:localhost", "@bob:localhost"

// post commits an entry in a transaction of its own.
func post(t testing.TB, pool *pgxpool.Pool, kind, payload string, topics ...Topic) (id int64) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
		id, err = Post(t.Context(), tx, kind, topics, []byte(payload))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// left lists what is in the outbox.
func left(t testing.TB, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, _ := pool.Query(t.Context(), `SELECT convert_from(payload, 'UTF8') FROM outbox ORDER BY id`)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWhatIsPostedIsTakenOverIntoTheLog(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{Watch: never})
	room := Topic{Room: 7}
	l := j.Listen()
	defer l.Close()
	l.Follow(Topic{User: bob})
	woken := l.Woken()
	post(t, pool, "notes", "to both", room, Topic{User: alice}, Topic{User: bob})
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := Post(t.Context(), tx, "notes", []Topic{room}, []byte("rolled back"))
		return errors.Join(err, errors.New("no"))
	})
	if err == nil {
		t.Fatal("no error")
	}
	post(t, pool, "of another version", "for later", room)
	if err := j.lookNow(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	<-woken
	j.Read(func(v View) {
		for _, topic := range []Topic{room, {User: alice}, {User: bob}} {
			if got := values(v.About(topic, 0)); !slices.Equal(got, []string{"to both"}) || v.Position != 1 {
				t.Errorf("at %d, about %v: %q", v.Position, topic, got)
			}
		}
	})
	if got, rest := bodies(written(t, pool, 0)), left(t, pool); !slices.Equal(got, []string{"to both"}) || !slices.Equal(rest, []string{"for later"}) {
		t.Errorf("written is %q, left %q", got, rest)
	}
}

// A look was answered without one into the outbox while a write was built anew.
func TestALookIntoTheOutboxWhileAWriteIsStale(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{Watch: never})
	var looked <-chan error
	w := note(1, "stale")
	w.Stale = func() bool {
		if looked == nil {
			post(t, pool, "notes", "posted", Topic{Room: 1})
			looked, _ = j.queue.look(true)
		}
		return true
	}
	if err := j.Commit(t.Context(), w); !errors.Is(err, ErrStale) {
		t.Fatalf("got %v", err)
	}
	if err := <-looked; err != nil {
		t.Fatal(err)
	}
	if got, rest := bodies(written(t, pool, 0)), left(t, pool); !slices.Equal(got, []string{"posted"}) || len(rest) > 0 {
		t.Errorf("written is %q, left %q", got, rest)
	}
}

func TestTheDatabaseTellsOfWhatIsPosted(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	channel := replica.New(pool, slog.New(slog.DiscardHandler))
	j := started(t, pool, Options{Watch: never, Channel: channel})
	if err := channel.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(channel.Stop)
	l := j.Listen()
	defer l.Close()
	l.Follow(Topic{User: alice})
	woken := l.Woken()
	post(t, pool, "notes", "by somebody without a journal", Topic{User: alice})
	select {
	case <-woken:
	case <-within(t).Done():
		t.Fatal("nobody was woken")
	}
}

func TestOneProcessTakesOverEachInOrder(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	const processes, posters, each = 3, 4, 40
	journals := make([]*Journal, processes)
	for i := range journals {
		journals[i] = started(t, openPool(t, pool.Config().ConnString()), Options{GroupWrites: 5, Watch: 10 * time.Millisecond})
	}
	var wg sync.WaitGroup
	for p := range posters {
		wg.Go(func() {
			for i := range each {
				post(t, pool, "notes", fmt.Sprintf("%d %03d", p, i), Topic{User: fmt.Sprint(p)}, Topic{Room: RoomNID(i % 3)})
				if err := journals[i%processes].lookNow(t.Context(), true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := bodies(written(t, pool, 0))
	if len(got) != posters*each || len(left(t, pool)) > 0 {
		t.Errorf("%d are written, left are %q", len(got), left(t, pool))
	}
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	if !slices.IsSorted(got) {
		t.Errorf("out of order: %q", got)
	}
}

func TestPostsAreTakenOverWithinTheBoundsOfAGroup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"number":  {Options{GroupWrites: 4}, "[4 4 2]"},
		"bytes":   {Options{GroupBytes: 25}, "[3 3 3 1]"}, // the third reaches it
		"exactly": {Options{GroupBytes: 50}, "[5 5]"},
		"too big": {Options{GroupBytes: 5}, "[1 1 1 1 1 1 1 1 1 1]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := notesPool(t)
			var want []string
			for i := range 10 {
				want = append(want, fmt.Sprintf("ten bytes%d", i))
				post(t, pool, "notes", want[i], Topic{Room: 1})
			}
			j := New(pool, c.o)
			var groups []int
			j.Observe(Observer{
				Committed: func(_ View, entries []*Entry) { groups = append(groups, len(entries)) },
				Reset:     func(Position) {},
			})
			start(t, j)
			if err := j.lookNow(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if got := bodies(written(t, pool, 0)); fmt.Sprint(groups) != c.want || !slices.Equal(got, want) {
				t.Errorf("in groups of %v %q are written", groups, got)
			}
		})
	}
}

func TestABadPostHarmsOnlyItself(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	var log lines
	bad := []string{refusedByDatabase, refusedByTable, unfit, panics, notUnderstood}
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprint("good ", i))
		post(t, pool, "notes", want[i], Topic{Room: 1})
		if i%8 == 3 {
			post(t, pool, "notes", bad[i/8], Topic{Room: 1})
		}
	}
	j := started(t, pool, Options{GroupWrites: 16, Watch: never, Log: slog.New(slog.NewTextHandler(&log, nil))})
	commit(t, j, note(1, "beside"))
	if err := j.lookNow(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(bodies(written(t, pool, 0)), func(body string) bool { return body == "beside" })
	if !slices.Equal(got, want) || !slices.Equal(left(t, pool), bad) {
		t.Errorf("written is %q, left %q", got, left(t, pool))
	}
	var failed int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE failed = 1 AND due > now()`).Scan(&failed); err != nil || failed != len(bad) {
		t.Errorf("%d are put off (%v)", failed, err)
	}
}

// handling is a journal that handles things, and what it has handled.
type handling struct {
	*Journal
	mu   sync.Mutex
	done []string
	do   func(ctx context.Context, payload string) error
}

func handles(t testing.TB, pool *pgxpool.Pool, o Options, do func(ctx context.Context, payload string) error) *handling {
	t.Helper()
	h := &handling{Journal: New(pool, o), do: do}
	h.handlers.leader.wait = time.Millisecond
	h.Handle("things", func(ctx context.Context, e *Entry) error {
		payload := string(e.Value.(*Posted).Payload)
		if do != nil {
			if err := do(ctx, payload); err != nil {
				return err
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.done = append(h.done, payload)
		return nil
	})
	start(t, h.Journal)
	return h
}

func (h *handling) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.done)
}

func (h *handling) stop(t testing.TB) {
	t.Helper()
	if err := h.Stop(within(t)); err != nil {
		t.Error(err)
	}
}

func TestPostedEntriesAreHandledOnTheirUsersAccount(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	var caller atomic.Value
	h := handles(t, pool, Options{Watch: never}, func(ctx context.Context, _ string) error {
		caller.Store(matrix.Caller(ctx))
		return nil
	})
	if err := h.Settle(within(t), post(t, pool, "things", "hello", Topic{Room: 1}, Topic{User: alice})); err != nil {
		t.Fatal(err)
	}
	if got := h.list(); !slices.Equal(got, []string{"hello"}) || caller.Load() != alice || len(left(t, pool)) > 0 {
		t.Errorf("handled is %q, for %v; left is %q", got, caller.Load(), left(t, pool))
	}
	h.Read(func(v View) {
		if n := len(v.About(Topic{User: alice}, 0)); n != 1 || v.Position != 1 {
			t.Errorf("at %d there are %d entries", v.Position, n)
		}
	})
}

func TestOneTopicIsHandledInOrderAndKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	h := handles(t, pool, Options{Watch: never}, func(_ context.Context, payload string) error {
		if payload == "slow" {
			begun <- struct{}{}
			<-goOn
		}
		return nil
	})
	slow := make(chan error, 1)
	id := post(t, pool, "things", "slow", Topic{User: alice})
	go func() { slow <- h.Settle(within(t), id) }()
	<-begun
	var last int64
	for i := range 2 * handledAtOnce { // more than are looked at in one go
		last = post(t, pool, "things", fmt.Sprint("after it ", i+10), Topic{User: alice})
	}
	if err := h.Settle(within(t), post(t, pool, "things", "another's", Topic{User: bob})); err != nil {
		t.Fatal(err)
	}
	if got := h.list(); !slices.Equal(got, []string{"another's"}) {
		t.Errorf("handled is %q", got)
	}
	close(goOn)
	if err := errors.Join(<-slow, h.Settle(within(t), last)); err != nil {
		t.Fatal(err)
	}
	if got := h.list()[1:]; got[0] != "slow" || len(got) != 1+2*handledAtOnce || !slices.IsSorted(got[1:]) {
		t.Errorf("handled is %q", got)
	}
}

func TestPostedEntriesAreHandledWithinTheBytesOfAGroup(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	var running, most atomic.Int64
	var last int64
	for i := range 10 {
		last = post(t, pool, "things", fmt.Sprintf("ten bytes%d", i), Topic{Room: RoomNID(i + 1)})
	}
	h := handles(t, pool, Options{Watch: never, GroupBytes: 25}, func(context.Context, string) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		begun <- struct{}{}
		<-goOn
		return nil
	})
	for range 3 { // the third reaches the bound
		<-begun
	}
	close(goOn)
	if err := h.Settle(within(t), last); err != nil {
		t.Fatal(err)
	}
	if n := most.Load(); n > 3 {
		t.Errorf("%d are handled at once", n)
	}
}

func TestWhatCannotBeHandledIsTriedAgain(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	broken := errors.New("not now")
	var attempts atomic.Int64
	h := handles(t, pool, Options{Watch: never}, func(_ context.Context, payload string) error {
		switch {
		case payload != "hard":
			return nil
		case attempts.Add(1) == 1:
			return broken
		case attempts.Load() == 2:
			panic("this is not understood")
		}
		return nil
	})
	if err := h.Settle(within(t), post(t, pool, "things", "hard", Topic{User: alice})); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if err := h.Settle(within(t), post(t, pool, "things", "easy", Topic{User: alice})); err != nil {
		t.Fatal(err) // it has to wait for nothing
	}
	hurry := func() {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `UPDATE outbox SET due = now()`); err != nil {
			t.Fatal(err)
		}
		signal(h.handlers.more)
	}
	matrixtest.Until(t, "nothing is left", func() bool { hurry(); return len(left(t, pool)) == 0 })
	if got := h.list(); attempts.Load() != 3 || !slices.Equal(got, []string{"easy", "hard"}) {
		t.Errorf("%d attempts, handled is %q", attempts.Load(), got)
	}
}

func TestPostedEntriesAreHandledInOneProcess(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	channels := [2]*replica.Channel{}
	joined := make(chan struct{}, 10)
	for i := range channels {
		channels[i] = replica.New(pool, slog.New(slog.DiscardHandler))
		channels[i].OnJoined(func() { joined <- struct{}{} })
	}
	var one *handling
	one = handles(t, pool, Options{Watch: never, Channel: channels[0]}, func(ctx context.Context, payload string) error {
		if payload == "bad" {
			return errors.New("not now")
		}
		return one.Commit(ctx, note(1, "because of "+payload))
	})
	if err := one.Settle(within(t), post(t, pool, "things", "first", Topic{User: alice})); err != nil {
		t.Fatal(err)
	}
	two := handles(t, openPool(t, pool.Config().ConnString()), Options{Watch: never, Channel: channels[1]}, nil)
	for _, c := range channels {
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Stop)
	}
	<-joined
	if err := two.Settle(within(t), post(t, pool, "things", "second", Topic{User: alice})); err != nil {
		t.Fatal(err)
	}
	two.Read(func(v View) { // what the other process has written
		if got := v.About(Topic{Room: 1}, 0); len(got) == 0 || got[len(got)-1].Value != "because of second" {
			t.Errorf("at %d it is not shown what was done", v.Position)
		}
	})
	if err := two.Settle(within(t), post(t, pool, "things", "bad", Topic{User: alice})); !errors.Is(err, errHandledElsewhere) {
		t.Errorf("got %v", err)
	}
	if len(two.list()) > 0 {
		t.Errorf("the other process has handled %q", two.list())
	}
	one.stop(t)
	if err := two.Settle(within(t), post(t, pool, "things", "third", Topic{User: bob})); err != nil {
		t.Fatal(err)
	}
	if got := two.list(); !slices.Contains(got, "third") {
		t.Errorf("nobody leads: handled is %q", got)
	}
}

func TestWhoWaitsForAnEntryHearsThatTheJournalStops(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	h := handles(t, pool, Options{Watch: never}, nil)
	h.stop(t)
	if err := h.Settle(within(t), post(t, pool, "things", "too late", Topic{User: alice})); err == nil {
		t.Error("nobody can have handled it")
	}
}

// TestPosterProcess is not a test: it is a server process that posts while the journal
// is held, and waits to be killed.
func TestPosterProcess(t *testing.T) {
	address := os.Getenv(processDatabase)
	if address == "" || os.Getenv(processName) != "poster" {
		t.Skip("runs only inside another test")
	}
	pool := openPool(t, address)
	h := handles(t, pool, Options{}, nil)
	id := post(t, pool, "things", "a thing", Topic{User: alice})
	post(t, pool, "notes", "a note", Topic{User: alice})
	_ = h.Settle(context.Background(), id)
	t.Error("it was not killed")
}

// A process that died between its transaction and the log must not take along what
// clients are to learn.
func TestWhatAKilledProcessHasPostedIsTakenOver(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	release := holdJournal(t, pool)
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPosterProcess$")
	process.Env = append(os.Environ(), processDatabase+"="+pool.Config().ConnString(), processName+"=poster")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	matrixtest.Until(t, "two are left", func() bool { return len(left(t, pool)) == 2 })
	if err := process.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = process.Wait() // it was killed
	release()
	h := handles(t, pool, Options{Watch: never}, nil)
	matrixtest.Until(t, "nothing is left", func() bool { return len(left(t, pool)) == 0 })
	if got := h.list(); !slices.Equal(got, []string{"a thing"}) {
		t.Errorf("handled is %q", got)
	}
	var body string
	if err := pool.QueryRow(t.Context(), `SELECT body FROM notes`).Scan(&body); err != nil || body != "a note" {
		t.Errorf("written is %q (%v)", body, err)
	}
}

// statements counts what a journal sends.
type statements struct{ batches, queries atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.queries.Add(1)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	s.batches.Add(1)
	s.queries.Add(int64(data.Batch.Len()))
	return ctx
}

func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// countingPool returns a pool on the database of another, whose statements are counted.
func countingPool(t *testing.T, of *pgxpool.Pool) (*pgxpool.Pool, *statements) {
	t.Helper()
	s := &statements{}
	config := of.Config()
	config.ConnConfig.Tracer = s
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, s
}

func TestAGroupCostsOneRoundTripAndNoLookIntoTheOutbox(t *testing.T) {
	t.Parallel()
	pool, s := countingPool(t, notesPool(t))
	h := handles(t, pool, Options{Watch: never}, nil)
	if err := h.Settle(within(t), post(t, pool, "things", "once", Topic{User: alice})); err != nil {
		t.Fatal(err)
	}
	h.handlers.leader.Stop() // what follows is the writer's alone
	commit(t, h.Journal, note(1, "before"))
	batches, queries := s.batches.Load(), s.queries.Load()
	const groups = 20
	for i := range groups {
		commit(t, h.Journal, note(1, fmt.Sprint(i)))
	}
	batches, queries = s.batches.Load()-batches, s.queries.Load()-queries
	const each = 2 // the position and the rows
	if batches != groups || queries != each*groups {
		t.Errorf("%d groups cost %d round trips, %d statements", groups, batches, queries)
	}
}
