package spaces_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

// counter counts the statements that are about rooms.
type counter struct{ statements atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "rooms") || strings.Contains(q.SQL, "events") {
		c.statements.Add(1)
	}
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func counted(t *testing.T) (*pgxpool.Pool, *counter) {
	t.Helper()
	config, count := postgrestest.New(t).Config().Copy(), &counter{}
	config.ConnConfig.Tracer = count
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, count
}

// The statements for a page do not grow with the number of rooms: neither of the page nor
// of the tree.
func TestStatementsOfAPage(t *testing.T) {
	t.Parallel()
	pool, count := counted(t)
	h := envOn(t, roomstest.Options{Pool: pool})
	hall := h.Public(bob)
	fill := func(n int) (space string) {
		space = h.space()
		below := h.space()
		h.child(space, below, `{"via":["localhost"]}`)
		for i := range n {
			room := h.Public()
			if i%2 == 0 {
				h.SetState(alice, room, "m.room.join_rules", "", `{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"`+hall+`"}]}`)
			}
			h.child([]string{space, below}[i%4/2], room, `{"via":["localhost"]}`)
		}
		return space
	}
	statements := func(space string, limit int) int64 {
		before := count.statements.Load()
		q := usual(bob, space)
		q.Limit = limit
		h.page(q)
		return count.statements.Load() - before
	}
	small, large := fill(10), fill(200)
	want := statements(small, 100)
	for _, limit := range []int{20, 100} {
		if got := statements(large, limit); got != want {
			t.Errorf("%d statements for %d rooms of 200, %d for 10", got, limit, want)
		}
	}
	if want > 12 {
		t.Errorf("%d statements", want)
	}
	if got := len(h.all(usual(bob, large))); got != 202 {
		t.Errorf("%d rooms are listed", got)
	}
}

// A redaction takes a room out of the tree as it was, too. The pages go on.
func TestRoomsThatVanishBetweenPages(t *testing.T) {
	h := newEnv(t)
	space := h.space()
	ids, children := []string{space}, []string{""}
	for i := range 9 {
		room := h.Public()
		ids, children = append(ids, room), append(children, h.child(space, room, fmt.Sprintf(`{"via":["localhost"],"order":"%d"}`, i)))
	}
	q := usual(bob, space)
	q.Limit = 4
	first := h.page(q)
	h.Redact(alice, space, children[3], "")
	q.From = first.NextBatch
	if diff := cmp.Diff(ids[4:8], h.page(q).ids()); diff != "" {
		t.Errorf("without the last room of the page before: %s", diff)
	}
	for i := 1; i <= 7; i++ {
		if i != 3 {
			h.Redact(alice, space, children[i], "")
		}
	}
	q.From = first.NextBatch
	if diff := cmp.Diff(ids[8:], h.page(q).ids()); diff != "" {
		t.Errorf("without all others of the page before: %s", diff)
	}
}

// TestLoops walks spaces that contain each other, and themselves.
func TestLoops(t *testing.T) {
	h := newEnv(t)
	spaces := []string{h.space(), h.space(), h.space()}
	slices.Sort(spaces)
	for _, parent := range spaces {
		for i, child := range spaces {
			h.child(parent, child, fmt.Sprintf(`{"via":["localhost"],"order":"%d"}`, i))
		}
	}
	for _, root := range spaces {
		want := append([]string{root}, slices.DeleteFunc(slices.Clone(spaces), func(id string) bool { return id == root })...)
		if diff := cmp.Diff(want, h.all(usual(bob, root))); diff != "" {
			t.Error(diff)
		}
	}
}

// TestDeepTrees walks no further than there are levels.
func TestDeepTrees(t *testing.T) {
	h := newEnv(t)
	chain := []string{h.space()}
	for range 25 {
		next := h.space()
		h.child(chain[len(chain)-1], next, `{"via":["localhost"]}`)
		chain = append(chain, next)
	}
	q := usual(bob, chain[0])
	if diff := cmp.Diff(chain[:21], h.all(q)); diff != "" {
		t.Error(diff)
	}
	q.Depth = 1000
	q.Limit = 3
	if diff := cmp.Diff(chain[:21], h.all(q)); diff != "" {
		t.Error(diff)
	}
	q.Depth = 2
	if diff := cmp.Diff(chain[:3], h.all(q)); diff != "" {
		t.Error(diff)
	}
}

// Events of children are read in parts, and pages end where one read does.
func TestLargeAnswers(t *testing.T) {
	h := newEnv(t)
	space := h.space()
	ids, long := []string{space}, strings.Repeat("x", 40_000)
	for i := range 60 {
		room := h.Public()
		h.SetState(alice, room, "m.room.topic", "", `{"topic":"`+long+`"}`)
		h.child(space, room, fmt.Sprintf(`{"via":["localhost"],"order":"%02d","x":"%s"}`, i, long))
		ids = append(ids, room)
	}
	first := h.page(usual(bob, space))
	if n := len(first.Rooms); n < 10 || n > 59 {
		t.Errorf("%d rooms are on one page", n)
	}
	children := []string{}
	for _, c := range first.Rooms[0].Children {
		if c.Type != "m.space.child" || c.Sender != alice || c.Time == 0 || len(c.Content) < len(long) {
			t.Errorf("%+v", c)
		}
		children = append(children, c.StateKey)
	}
	if diff := cmp.Diff(ids[1:], children); diff != "" {
		t.Errorf("the children: %s", diff)
	}
	if diff := cmp.Diff(ids, h.all(usual(bob, space))); diff != "" {
		t.Errorf("all pages: %s", diff)
	}
}
