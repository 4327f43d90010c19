package syncstream_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

func TestPollWakesTheMomentSomethingIsCommitted(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	w := h.await(h.synced(bob, "").Query)
	h.say(alice, room, "wake up")
	equal(t, "timeline", w.get().in(t, room).timeline(), "wake up")
}

func TestPollWakesForTheOwnMembership(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{Preset: "public_chat"})
	h.SetState(alice, room, "m.room.join_rules", "", `{"join_rule":"knock"}`)
	open := h.Public()
	c := h.synced(bob, "")
	steps := []struct {
		what string
		do   func()
		seen func(a *answer) bool
	}{
		{"invite", func() { h.invite(bob, room) }, func(a *answer) bool { return a.Rooms.Invite[room] != nil }},
		{"rejected invite", func() { h.Leave(bob, room) }, func(a *answer) bool { return a.Rooms.Leave[room] != nil }},
		{"knock", func() { h.OK(h.Rooms.Knock(t.Context(), bob, room, "")) }, func(a *answer) bool { return a.Rooms.Knock[room] != nil }},
		{"accepted knock", func() { h.invite(bob, room) }, func(a *answer) bool { return a.Rooms.Invite[room] != nil }},
		{"join", func() { h.Join(bob, room) }, func(a *answer) bool { return a.Rooms.Join[room] != nil }},
		{"join of a room never heard of", func() { h.Join(bob, open) }, func(a *answer) bool { return a.Rooms.Join[open] != nil }},
		{"kick", func() { h.kick(bob, open) }, func(a *answer) bool { return a.Rooms.Leave[open] != nil }},
		{"ban", func() { h.ban(bob, room) }, func(a *answer) bool { return a.Rooms.Leave[room] != nil }},
		{"unban", func() { h.OK(h.Rooms.Unban(t.Context(), alice, room, bob, "")) }, func(a *answer) bool { return a.Rooms.Leave[room] != nil }},
	}
	for _, step := range steps {
		w := h.await(c.Query)
		step.do()
		a := w.get()
		if !step.seen(a) {
			t.Errorf("%s: %s", step.what, a.raw)
		}
		c.Since = a.NextBatch
	}
}

func TestSecondInviteIsTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(carol)
	h.invite(bob, room)
	w := h.await(h.synced(bob, "").Query)
	h.OK(h.Rooms.Invite(t.Context(), carol, room, bob, ""))
	invite := w.get().Rooms.Invite[room]
	if invite == nil {
		t.Fatal("the second invite is not told")
	}
	if last := invite.State.Events[len(invite.State.Events)-1]; last.Sender != carol {
		t.Errorf("the invite is %v's", last.Sender)
	}
}

func TestForgettingWakesNobodyForNothing(t *testing.T) {
	h := newEnv(t)
	left, other := h.Public(bob), h.Public(bob)
	h.Leave(bob, left)
	w := h.await(h.synced(bob, `{"room":{"include_leave":true}}`).Query)
	h.OK(h.Rooms.Forget(t.Context(), bob, left))
	w.waitsAgain()
	h.say(alice, other, "still here")
	equal(t, "timeline", w.get().in(t, other).timeline(), "still here")
}

func TestDeviceThatWasAwayHearsOfARoomLeftAndForgotten(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "before")
	h.Leave(bob, room)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	r := c.sync().out(t, room)
	equal(t, "timeline", r.timeline(), "bob leave")
	equal(t, "state", r.state())
	wantEmpty(t, c.sync())
	c = h.client(bob, `{"room":{"include_leave":true}}`)
	wantEmpty(t, c.sync())
	h.Join(bob, room)
	if r := c.sync().in(t, room); len(r.timeline()) == 0 {
		t.Error("the room is not told of to who has come back")
	}
}

func TestWakeUpThatTheFilterEmptiesGoesOnWaiting(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	w := h.await(h.synced(bob, `{"room":{"timeline":{"types":["m.room.message"]},"state":{"types":[]}}}`).Query)
	h.sendAs(rooms.Request{UserID: alice, RoomID: room}, "org.example.noise", `{}`)
	w.waitsAgain()
	h.topic(alice, room, "unwanted")
	w.waitsAgain()
	h.say(alice, room, "wanted")
	a := w.get()
	equal(t, "timeline", a.in(t, room).timeline(), "wanted")
	// Nothing was skipped for another filter that starts from the same token.
	if p, err := syncstream.ParseToken(a.NextBatch); err != nil || p != h.Journal.Position() {
		t.Errorf("next_batch is %s", a.NextBatch)
	}
}

// A rename changes no numbers, and nobody among those by whom a room is named.
func TestRenameThatIsFilteredOutEndsAWait(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	const noMembers = `{"room":{"timeline":{"not_types":["m.room.member"]},"state":{"not_types":["m.room.member"]}}}`
	w := h.await(h.synced(bob, noMembers).Query)
	for _, name := range []string{"Carol", "Caroline"} {
		h.rename(carol, room, name)
		w.waitsAgain()
	}
	h.Leave(carol, room)
	if s := w.get().in(t, room).Summary; s == nil || s.Joined != 2 {
		t.Errorf("carol has left, but the summary is %v", s)
	}
}

// counter counts the statements of a pool.
type counter struct {
	statements atomic.Int64
	mu         sync.Mutex
	texts      []string
}

// mention returns how many statements since its last call had one of some words.
func (c *counter) mention(words ...string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range c.texts {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) }) {
			n++
		}
	}
	c.texts = nil
	return n
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	// What the journal does by itself, whatever is asked for, is not counted.
	if !strings.Contains(q.SQL, "wait_to_lead") && !strings.Contains(q.SQL, "outbox") {
		c.statements.Add(1)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.texts = append(c.texts, q.SQL)
	}
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestRenameCostsAQueryForEachWaitingMember(t *testing.T) {
	h := newEnv(t)
	config := h.Pool.Config().Copy()
	statements := &counter{}
	config.ConnConfig.Tracer = statements
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	h.OK(err)
	t.Cleanup(pool.Close)
	readers := envOn(t, pool, journal.Options{Watch: time.Hour})
	room := h.Public(carol)
	const many = 30
	user := func(i int) string { return fmt.Sprintf("@member%d:localhost", i) }
	for i := range many {
		h.Join(user(i), room)
	}
	readers.catchUp()
	var polls []*waiting
	for i := range many {
		polls = append(polls, readers.await(readers.synced(user(i), "").Query))
	}
	before := statements.statements.Load()
	h.rename(carol, room, "Caroline")
	readers.catchUp()
	for _, w := range polls {
		r := w.get().in(t, room)
		equal(t, "timeline", r.timeline(), "carol join")
		if r.Summary != nil {
			t.Errorf("a rename changes the summary to %v", r.Summary)
		}
	}
	if n := statements.statements.Load() - before; n >= many {
		t.Errorf("a rename cost %d statements for %d members", n, many)
	}
}

func TestEventsOfManyWakeUpsComeTogether(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, `{"room":{"timeline":{"not_senders":["@alice:localhost"]},"state":{"not_senders":["@alice:localhost"]}}}`)
	w := h.await(c.Query)
	h.topic(alice, room, "hidden")
	w.waitsAgain()
	h.say(bob, room, "seen")
	equal(t, "timeline", w.get().in(t, room).timeline(), "seen")
}

func TestManyWaiters(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	var polls []*waiting
	for i := range 60 {
		polls = append(polls, h.await(h.synced([]string{alice, bob, carol}[i%3], "").Query))
	}
	h.say(alice, room, "all of you")
	for _, w := range polls {
		equal(t, "timeline", w.get().in(t, room).timeline(), "all of you")
	}
}

func TestClientThatGoesAwayFreesItsGoroutine(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	w := h.await(h.synced(bob, "").Query)
	w.cancel()
	w.end()
	if !errors.Is(w.err, context.Canceled) {
		t.Errorf("the poll ends with %v", w.err)
	}
}

// It counts the goroutines of the whole process, so no other test runs beside it.
func TestPollCostsOneGoroutineAndLeavesNoneBehind(t *testing.T) {
	h := envOn(t, nil, journal.Options{})
	h.Public(bob)
	q := h.synced(bob, "").Query
	const n = 50
	before := runtime.NumGoroutine()
	var polls []*waiting
	for range n {
		polls = append(polls, h.await(q))
	}
	if more := runtime.NumGoroutine() - before; more > n+2 {
		t.Errorf("%d polls cost %d goroutines", n, more)
	}
	for _, w := range polls {
		w.cancel()
		w.end()
	}
	if more := runtime.NumGoroutine() - before; more > 2 {
		t.Errorf("%d goroutines are left", more)
	}
}

func TestTimeoutIsBounded(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	q := h.synced(bob, "").Query
	q.Timeout = math.MaxInt64
	w := h.startFor(q)
	w.waitsAgain()
	h.say(alice, room, "hi")
	equal(t, "timeline", w.get().in(t, room).timeline(), "hi")
}

func TestStopAnswersWaitingPolls(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	c := h.synced(bob, "")
	w := h.await(c.Query)
	h.Release()
	h.Release()
	a := w.get()
	wantEmpty(t, a)
	if a.NextBatch != c.Since {
		t.Errorf("next_batch is %s, want %s", a.NextBatch, c.Since)
	}
	c.Timeout = 10 * patience
	wantEmpty(t, c.sync())
}

func TestOtherProcessWakesPolls(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool, journal.Options{})
	room := h.Public(bob)
	w := h.await(h.synced(bob, "").Query)
	other.say(alice, room, "from afar")
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position())) // or once a second by itself
	equal(t, "timeline", w.get().in(t, room).timeline(), "from afar")
}

func TestOtherProcessChangesMembershipAndVisibility(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool, journal.Options{})
	room := h.Public()
	c := h.synced(bob, "")
	w := h.await(c.Query)
	other.visibility(room, "joined")
	other.say(alice, room, "hidden")
	other.Join(bob, room)
	other.say(alice, room, "shown")
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	equal(t, "timeline", w.get().in(t, room).timeline()[6:], "history_visibility", "bob join", "shown")
}

func TestTokenOfAnotherProcessIsCaughtUpWith(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool, journal.Options{Watch: time.Hour})
	room := h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "one")
	a := c.sync()
	equal(t, "timeline", a.in(t, room).timeline(), "one")
	moved := other.client(bob, "")
	moved.Since = a.NextBatch
	wantEmpty(t, moved.sync())
	h.say(alice, room, "two")
	moved.Since = c.sync().NextBatch
	wantEmpty(t, moved.sync())
}

func TestCancelledPollIsNoErrorOfTheOthers(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if i%2 == 0 {
				if _, err := h.Sync(ctx, syncstream.Query{UserID: bob}); !errors.Is(err, context.Canceled) {
					t.Errorf("who has gone away gets %v", err)
				}
			} else if _, err := h.Sync(t.Context(), syncstream.Query{UserID: bob}); err != nil {
				t.Errorf("who is there gets %v", err)
			}
		})
	}
	wg.Wait()
}

func TestDatabaseThatIsAwayIsAnErrorAndComesBack(t *testing.T) {
	h := newEnv(t)
	pool, err := pgxpool.NewWithConfig(t.Context(), h.Pool.Config())
	h.OK(err)
	away := envOn(t, pool, journal.Options{})
	pool.Close()
	room := h.Public(bob)
	if _, err := away.Sync(t.Context(), syncstream.Query{UserID: bob}); err == nil || refused(err) {
		t.Errorf("without a database a first sync returns %v", err)
	}
	h.client(bob, "").sync().in(t, room)
}

// A sync that looks at the database between the commit and its announcement
// knows of the invite already, but must not answer yet; it was once not woken
// either.
func TestCommitBetweenLookAndWaitIsNotLost(t *testing.T) {
	t.Parallel()
	gate := &commitGate{}
	config, err := pgxpool.ParseConfig(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 8
	config.ConnConfig.Tracer = gate
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	h := envOn(t, pool, journal.Options{Watch: time.Hour})
	room := h.Public(dave)
	for user, do := range map[string]func(user, room string){bob: h.invite, carol: h.Join, dave: h.kick} {
		since := syncstream.FormatToken(h.Journal.Position())
		committed, announce := gate.close()
		written := make(chan struct{})
		go func() { defer close(written); do(user, room) }()
		<-committed
		w := h.await(syncstream.Query{UserID: user, Since: since}) // the user's first
		close(announce)
		if a := w.get(); a.empty() {
			t.Errorf("%s was not told", user)
		}
		<-written
	}
}

// commitGate holds up the journal after its commit, before it is announced.
type commitGate struct {
	held atomic.Pointer[heldCommit]
}

type heldCommit struct{ committed, announce chan struct{} }

func (g *commitGate) close() (committed <-chan struct{}, announce chan<- struct{}) {
	h := &heldCommit{make(chan struct{}), make(chan struct{})}
	g.held.Store(h)
	return h.committed, h.announce
}

func (g *commitGate) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (g *commitGate) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

type committing struct{}

func (g *commitGate) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	queries := data.Batch.QueuedQueries
	// Statements that are sent together have a transaction to themselves, where nothing begins one.
	atOnce := strings.Contains(queries[0].SQL, "UPDATE journal")
	return context.WithValue(ctx, committing{}, atOnce || queries[len(queries)-1].SQL == "COMMIT")
}
func (g *commitGate) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (g *commitGate) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) {
	if isCommit, _ := ctx.Value(committing{}).(bool); !isCommit {
		return
	}
	if h := g.held.Swap(nil); h != nil {
		close(h.committed)
		<-h.announce
	}
}

func TestUnknownFilterOfAPoll(t *testing.T) {
	h := newEnv(t)
	for _, filter := range []string{"0", "17", "-1", "nonsense", "99999999999999999999"} {
		_, err := h.Sync(t.Context(), syncstream.Query{UserID: bob, Filter: filter})
		matrixtest.WantCode(t, err, matrix.InvalidParam, filter)
	}
}
