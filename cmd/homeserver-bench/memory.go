package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"time"
)

// remembering measures the memory of the server.
type remembering struct {
	h     *house
	rooms []crowd
}

// crowd is a room with its members.
type crowd struct {
	room  string
	users []user
}

// idleLimit is what an idle server is to stay below.
const idleLimit = 64 << 20

func newRemembering(h *house) *family {
	r := &remembering{h: h}
	return &family{
		key: "memory", name: "Memory", prepare: r.prepare,
		ceiling: "of the idle server: the 64 MiB that it is to stay below; of one request that waits: " +
			"the same on a bare server of net/http",
		cases: []testCase{
			{name: "idle", run: r.idle, restart: true},
			{name: fmt.Sprintf("%d waiting /sync", h.size.waiting), run: r.waiting, restart: true},
		},
	}
}

// prepare makes ten rooms of all who will wait.
func (r *remembering) prepare(ctx context.Context) error {
	const rooms = 10
	users, err := r.h.accounts(ctx, "waiter", r.h.size.waiting)
	if err != nil {
		return err
	}
	for members := range slices.Chunk(users, len(users)/rooms) {
		room, err := r.h.roomOf(ctx, members)
		if err != nil {
			return err
		}
		r.rooms = append(r.rooms, crowd{room, members})
	}
	return nil
}

// quiet reads the memory of the server after a time without requests.
func (r *remembering) quiet(ctx context.Context) (float64, error) {
	select {
	case <-time.After(r.h.size.quiet):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	bytes, err := resident(r.h.server.pid())
	if err != nil {
		return 0, fmt.Errorf("read the memory of the server: %w", err)
	}
	return float64(bytes), nil
}

// idle measures a server that was started and is left alone.
func (r *remembering) idle(ctx context.Context) ([]Figure, error) {
	bytes, err := r.quiet(ctx)
	return []Figure{{"resident", Bytes, bytes, idleLimit}}, err
}

// waiting measures what requests that wait take, one of each user.
func (r *remembering) waiting(ctx context.Context) ([]Figure, error) {
	before, err := r.quiet(ctx)
	if err != nil {
		return nil, err
	}
	var list []*listener
	defer func() { closeListeners(list) }()
	for _, c := range r.rooms {
		some, err := r.h.listeners(ctx, c.users, c.room)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	for _, l := range list {
		if err := l.ask(patience); err != nil {
			return nil, err
		}
	}
	err = until(ctx, func() (bool, error) {
		waiting, err := r.h.server.waiting(ctx)
		return waiting == len(list), err
	})
	if err != nil {
		return nil, fmt.Errorf("wait until all wait: %w", err)
	}
	after, err := r.quiet(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := bareWaiting(ctx, r.h, len(list))
	return []Figure{
		{"resident", Bytes, after, 0},
		{"one more request", Bytes, (after - before) / float64(len(list)), bare},
	}, err
}

// bareWaiting measures the memory that the Go runtime uses for one request that
// waits at a bare server, with that of the connection of its client, which is a
// small part.
func bareWaiting(ctx context.Context, h *house, n int) (float64, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	y, err := newChimes(ctx, h, n)
	if err != nil {
		return 0, err
	}
	defer y.close()
	for _, l := range y.list {
		if err := l.send(http.MethodGet, "/", ""); err != nil {
			return 0, err
		}
	}
	if err := until(ctx, func() (bool, error) { return y.chime.Waiting() == n, nil }); err != nil {
		return 0, err
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	inUse := func(m *runtime.MemStats) float64 { return float64(m.HeapInuse + m.StackInuse) }
	return (inUse(&after) - inUse(&before)) / float64(n), nil
}
