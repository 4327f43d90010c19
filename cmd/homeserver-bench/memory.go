package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"homeserver/cmd/homeserver-bench/bare"
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

// collections is how often garbage is collected before memory is looked at: what is pooled
// goes with the second, and a stack becomes smaller with each.
const collections = 3

// idleLimit is what an idle server is to stay below.
const idleLimit = 64 << 20

func newRemembering(h *house) *family {
	r := &remembering{h: h}
	return &family{
		key: "memory", name: "Memory", prepare: r.prepare,
		ceiling: "of the idle server: the 64 MiB that it is to stay below; of what is left of a load: what is in use of it; of a request that waits, with its connection: " +
			"the same on a bare server of net/http. In use is what the Go runtime says, without garbage",
		cases: []testCase{
			{name: "idle", run: r.idle, restart: true},
			{name: fmt.Sprintf("%d waiting /sync", h.size.waiting), run: r.waiting, restart: true},
			{name: "after a load", run: r.loaded, restart: true},
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

// wait waits for a time without requests.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resident reads how much memory the server has from the system.
func (r *remembering) resident() (float64, error) {
	bytes, err := resident(r.h.server.pid())
	if err != nil {
		return 0, fmt.Errorf("read the memory of the server: %w", err)
	}
	return float64(bytes), nil
}

// idle measures a server that was started and is left alone.
func (r *remembering) idle(ctx context.Context) ([]Figure, error) {
	if err := wait(ctx, r.h.size.quiet); err != nil {
		return nil, err
	}
	bytes, err := r.resident()
	return []Figure{{"resident", Bytes, bytes, idleLimit}}, err
}

// loaded measures what the server keeps of a load, in which all read everything and speak, again
// and again: when that is over, and once the server has had time to notice.
func (r *remembering) loaded(ctx context.Context) ([]Figure, error) {
	var clients []*client
	var rooms []string
	defer func() { closeAll(clients) }()
	for _, c := range r.rooms {
		some, err := r.h.connections(ctx, c.users)
		if err != nil {
			return nil, err
		}
		clients = append(clients, some...)
		rooms = append(rooms, slices.Repeat([]string{c.room}, len(some))...)
	}
	begin, txns := syncPath("", "", 0), atomic.Int64{}
	_, err := goOn(ctx, len(clients), r.h.size.load, func(worker int) error {
		if _, err := clients[worker].do(http.MethodGet, begin, ""); err != nil {
			return err
		}
		_, err := clients[worker].say(rooms[worker], fmt.Sprint("load", txns.Add(1)))
		return err
	})
	if err != nil {
		return nil, err
	}
	most, err := r.resident()
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, r.h.size.rest); err != nil {
		return nil, err
	}
	rest, err := r.resident()
	if err != nil {
		return nil, err
	}
	used, err := r.h.server.inUse(ctx)
	return []Figure{{"resident", Bytes, most, 0}, {"a minute later", Bytes, rest, used}}, err
}

// waiting measures what users take who have asked before, and then requests that wait, one
// of each.
func (r *remembering) waiting(ctx context.Context) ([]Figure, error) {
	server := r.h.server
	fresh, err := server.inUse(ctx)
	if err != nil {
		return nil, err
	}
	list, err := r.everyone(ctx)
	if err != nil {
		return nil, err
	}
	defer closeListeners(list)
	if err := hangUp(ctx, server, list); err != nil {
		return nil, err
	}
	known, err := server.inUse(ctx)
	if err != nil {
		return nil, err
	}
	if err := waitAgain(ctx, server, list); err != nil {
		return nil, err
	}
	if err := wait(ctx, r.h.size.quiet); err != nil {
		return nil, err
	}
	total, err := r.resident()
	if err != nil {
		return nil, err
	}
	waiting, err := server.inUse(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(len(list))
	bare, err := bareWaiting(ctx, len(list))
	return []Figure{
		{"resident", Bytes, total, 0},
		{"in use for a user", Bytes, (known - fresh) / n, 0},
		{"in use for a request", Bytes, (waiting - known) / n, bare},
	}, err
}

// everyone returns a listener for each user, who has asked once. The caller closes them.
func (r *remembering) everyone(ctx context.Context) ([]*listener, error) {
	var list []*listener
	for _, c := range r.rooms {
		some, err := r.h.listeners(ctx, c.users, c.room)
		if err != nil {
			closeListeners(list)
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

// hangUp closes the connections of listeners, and returns when the server has noticed.
func hangUp(ctx context.Context, server *process, list []*listener) error {
	closeListeners(list)
	err := until(ctx, func() (bool, error) {
		open, err := server.figures(ctx, "homeserver_connections")
		return open == 0, err
	})
	if err != nil {
		return fmt.Errorf("wait until all connections are closed: %w", err)
	}
	return nil
}

// waitAgain connects listeners again, and returns when a request of each waits.
func waitAgain(ctx context.Context, server *process, list []*listener) (err error) {
	for _, l := range list {
		if l.client, err = dial(ctx, server.address, l.token); err != nil {
			return err
		}
		if err := l.ask(patience); err != nil {
			return err
		}
	}
	err = until(ctx, func() (bool, error) {
		waiting, err := server.waiting(ctx)
		return waiting == len(list), err
	})
	if err != nil {
		return fmt.Errorf("wait until all wait: %w", err)
	}
	return nil
}

// bareWaiting measures the memory that the Go runtime uses for one request that waits at a
// bare server, with the socket of its client, which is a small part.
func bareWaiting(ctx context.Context, n int) (each float64, err error) {
	chime, err := bare.StartChime(ctx)
	if err != nil {
		return 0, err
	}
	before := inUse()
	defer func() { err = errors.Join(err, chime.Stop()) }()
	conns := make([]net.Conn, n)
	for i := range conns {
		if conns[i], err = new(net.Dialer).DialContext(ctx, "tcp", chime.Address); err != nil {
			return 0, fmt.Errorf("connect to the bare server: %w", err)
		}
		defer conns[i].Close() //nolint:errcheck // nothing was asked for but memory
		if _, err := conns[i].Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			return 0, fmt.Errorf("ask the bare server: %w", err)
		}
	}
	if err := until(ctx, func() (bool, error) { return chime.Waiting() == n, nil }); err != nil {
		return 0, fmt.Errorf("wait until all wait for the bare server: %w", err)
	}
	return (inUse() - before) / float64(n), nil
}

// inUse returns how much memory the Go runtime of this process uses, without garbage.
func inUse() float64 {
	for range collections {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}
