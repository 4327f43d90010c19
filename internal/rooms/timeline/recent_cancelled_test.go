package timeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
)

// leaver ends a request when it sends its nth statement.
type leaver struct {
	left  int
	leave context.CancelFunc
}

// leaverKey finds the leaver of a request in its context.
type leaverKey struct{}

// TraceQueryStart makes it a pgx.QueryTracer.
func (leaver) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if l, ok := ctx.Value(leaverKey{}).(*leaver); ok {
		if l.left--; l.left == 0 {
			l.leave()
		}
	}
	return ctx
}

// TraceQueryEnd does nothing.
func (leaver) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A request that went away between two statements once crashed: what was read of events that
// replace others was not whole.
func TestRequestThatGoesAwayAmidReadingARoom(t *testing.T) {
	first := newEnv(t)
	room := first.Public(bob)
	first.SetState(alice, room, event.TypeTopic, "", `{"topic":"one"}`)
	first.SetState(alice, room, event.TypeTopic, "", `{"topic":"two"}`)
	config := first.Pool.Config().Copy()
	config.ConnConfig.Tracer = leaver{}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	first.OK(err)
	t.Cleanup(pool.Close)
	whole := false
	for statement := 1; !whole; statement++ {
		h := recentEnv(t, pool, 0)
		numbers := h.numbers([]string{room})
		ctx, cancel := context.WithCancel(t.Context())
		l := &leaver{left: statement, leave: cancel}
		err := h.Rooms.Timeline.Recall(context.WithValue(ctx, leaverKey{}, l), numbers)
		cancel()
		if whole = l.left > 0; whole != (err == nil) {
			t.Errorf("the request leaves at statement %d: got %v", statement, err)
		}
		again, end := context.WithTimeout(t.Context(), time.Minute)
		h.OK(h.Rooms.Timeline.Recall(again, numbers))
		end()
		if statement == 1 && whole {
			t.Error("no statement is sent")
		}
	}
}
