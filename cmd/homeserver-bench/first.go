package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// awaking measures the first /sync of somebody in many rooms after the server has
// started, with nothing in memory.
type awaking struct {
	h *house
	*readers
	since string // a token with some events after it
}

func newAwaking(h *house) *family {
	a := &awaking{h: h}
	return &family{
		key: "first", name: fmt.Sprintf("The first /sync in %d rooms after the server has started", h.size.readRooms), prepare: a.prepare,
		ceiling: "one query that reads the same events on a connection of its own that was opened for it; " +
			"the server's time counts from when it has started and does nothing by itself any more",
		cases: []testCase{
			{name: "everything", restarts: true, run: func(ctx context.Context) ([]Figure, error) {
				return a.compare(ctx, syncPath("", "", 0), roomsOfUser+everything)
			}},
			{name: "everything, members lazily", restarts: true, run: func(ctx context.Context) ([]Figure, error) {
				return a.compare(ctx, syncPath("", lazyMembers, 0), roomsOfUser+everythingLazily)
			}},
			{name: "new events, with an old token", restarts: true, run: func(ctx context.Context) ([]Figure, error) {
				position, err := positionOf(a.since)
				if err != nil {
					return nil, err
				}
				return a.compare(ctx, syncPath(a.since, "", 0), laterEvents, position)
			}},
		},
	}
}

// prepare makes the rooms, and in each tenth one an event after the token.
func (a *awaking) prepare(ctx context.Context) (err error) {
	if a.readers, err = a.h.someRooms(ctx); err != nil {
		return err
	}
	list, err := a.h.listeners(ctx, a.users[:1], a.rooms[0])
	if err != nil {
		return err
	}
	defer closeListeners(list)
	a.since = list[0].since
	const each = 10
	for i := 0; i < len(a.rooms); i += each {
		if _, err := list[0].say(a.rooms[i], fmt.Sprint("first", i)); err != nil {
			return err
		}
	}
	return a.h.settle(ctx)
}

// compare makes a request of a server that has just started, some times, by turns with a
// query of the user's, who is in the rooms of those who have written last: the server has read them by
// itself, but has never answered this user.
func (a *awaking) compare(ctx context.Context, path, query string, args ...any) ([]Figure, error) {
	var m, y run
	var before time.Duration
	reader := a.users[1]
	for range a.h.size.starts {
		read, err := a.h.readAfresh(ctx, query, append([]any{reader.id}, args...)...)
		if err != nil {
			return nil, err
		}
		y.join(read)
		asked, starting, err := a.h.askAfresh(ctx, reader, path)
		if err != nil {
			return nil, err
		}
		m.join(asked)
		before += starting
	}
	return append(answering(&m, &y, y.used.here), Figure{"before, to start", Micros, m.each(before), 0}), nil
}

// askAfresh starts the server anew, and makes one request. starting is the processor time
// that the server and PostgreSQL have taken before.
func (h *house) askAfresh(ctx context.Context, u user, path string) (asked run, starting time.Duration, err error) {
	h.stop()
	stopped := h.usage()
	if err := h.start(ctx); err != nil {
		return run{}, 0, err
	}
	c, err := dial(ctx, h.server.address, u.token)
	if err != nil {
		return run{}, 0, err
	}
	defer c.close()
	if err := h.idle(ctx); err != nil {
		return run{}, 0, err
	}
	used := h.usage().sub(stopped)
	asked, err = h.once(func() error {
		_, err := c.do(http.MethodGet, path, "")
		return err
	})
	return asked, used.server + used.postgres, err
}

// idle waits until the server has done what it does by itself after a start, such as the
// connections of what follows the journal: until it and PostgreSQL have taken next to no
// processor time between two looks. The rows of starting count that.
func (h *house) idle(ctx context.Context) error {
	const nextToNone = time.Millisecond
	var before usage
	err := until(ctx, func() (bool, error) {
		now := h.usage()
		used := now.sub(before)
		before = now
		return used.server+used.postgres < nextToNone, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the server is idle: %w", err)
	}
	return nil
}

// readAfresh runs a query on a new connection.
func (h *house) readAfresh(ctx context.Context, query string, args ...any) (run, error) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(ctx) // it was only read from
		}
	}()
	// PostgreSQL's process for the connection lives until its time has been read.
	return h.once(func() (err error) {
		if conn, err = pgx.ConnectConfig(ctx, h.pool.Config().ConnConfig); err != nil {
			return fmt.Errorf("open a connection: %w", err)
		}
		return read(ctx, conn, query, args...)
	})
}

// once measures something that is done once.
func (h *house) once(do func() error) (run, error) {
	before, begun := h.usage(), time.Now()
	err := do()
	took := time.Since(begun)
	return run{took: took, latencies: []time.Duration{took}, used: h.usage().sub(before)}, err
}
