package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"
)

// syncing measures /sync of somebody in many rooms.
type syncing struct {
	h *house
	*readers
	before string // a token with one event after it
	txn    int
}

// lazyMembers asks for those members alone who have written what is shown.
const lazyMembers = `{"room":{"state":{"lazy_load_members":true}}}`

func newSyncing(h *house) *family {
	s := &syncing{h: h}
	rooms := h.size.readRooms
	return &family{
		key: "sync", name: fmt.Sprintf("Reading what is new in %d rooms", rooms), prepare: s.prepare,
		ceiling: "while the live window has it, whoami, which is as little as a request with a token can be; " +
			"else one query that reads the same events from PostgreSQL, without a network between",
		cases: []testCase{
			{name: "nothing new", run: s.nothing},
			{name: "nothing new, by sliding sync", run: s.slideOverNothing},
			{name: "one event", run: s.one},
			{name: "everything", run: func(ctx context.Context) ([]Figure, error) {
				return h.besideQuery(ctx, s.users[0], syncPath("", "", 0), roomsOfUser+everything, s.users[0].id)
			}},
			{name: "everything, members lazily", run: func(ctx context.Context) ([]Figure, error) {
				return h.besideQuery(ctx, s.users[0], syncPath("", lazyMembers, 0), roomsOfUser+everythingLazily, s.users[0].id)
			}},
			{name: "one event, older than the live window", run: s.old, restart: true},
		},
	}
}

// prepare makes the rooms, and one event that is new.
func (s *syncing) prepare(ctx context.Context) (err error) {
	if s.readers, err = s.h.someRooms(ctx); err != nil {
		return err
	}
	return s.newEvent(ctx)
}

// newEvent sends one message, and remembers the token before it.
func (s *syncing) newEvent(ctx context.Context) error {
	list, err := s.h.listeners(ctx, s.users[1:2], s.rooms[0])
	if err != nil {
		return err
	}
	defer closeListeners(list)
	s.before = list[0].since
	s.txn++
	_, err = list[0].say(s.rooms[0], fmt.Sprint("new", s.txn))
	return err
}

// newManyRooms measures /sync of somebody in very many rooms.
func newManyRooms(h *house) *family {
	var r *readers
	all := func(filter, query string) func(ctx context.Context) ([]Figure, error) {
		return func(ctx context.Context) ([]Figure, error) {
			return h.besideQuery(ctx, r.users[0], syncPath("", filter, 0), query, r.users[0].id)
		}
	}
	return &family{
		key: "many", name: fmt.Sprintf("Reading everything in %d rooms", h.size.manyRooms),
		ceiling: "one query that reads the same events from PostgreSQL, without a network between",
		prepare: func(ctx context.Context) (err error) {
			const members = 5
			r, err = h.makeReaders(ctx, "many", h.size.manyRooms, members)
			return err
		},
		cases: []testCase{
			{name: "all rooms", run: all("", roomsOfUser+everything)},
			{name: "all rooms, members lazily", run: all(lazyMembers, roomsOfUser+everythingLazily)},
			{name: "the newest 20 by sliding sync, beside all rooms, members lazily, by /sync", run: func(ctx context.Context) ([]Figure, error) {
				return h.firstSlide(ctx, r.users[0])
			}},
		},
	}
}

// nothing asks again and again when nothing is new.
func (s *syncing) nothing(ctx context.Context) ([]Figure, error) {
	list, err := s.h.listeners(ctx, s.users[:1], s.rooms[0])
	if err != nil {
		return nil, err
	}
	defer closeListeners(list)
	return s.besideWhoami(ctx, list[0].since)
}

// one asks again and again from before an event that the live window has.
func (s *syncing) one(ctx context.Context) ([]Figure, error) { return s.besideWhoami(ctx, s.before) }

func (s *syncing) besideWhoami(ctx context.Context, since string) ([]Figure, error) {
	c, err := dial(ctx, s.h.server.address, s.users[0].token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	m, y, err := s.h.race(ctx, 1, repeat(c, syncPath(since, "", 0)), repeat(c, api+"/account/whoami"))
	return answering(&m, &y, y.used.server), err
}

// old asks from before an event that was sent to another life of the server.
func (s *syncing) old(ctx context.Context) ([]Figure, error) {
	position, err := positionOf(s.before)
	if err != nil {
		return nil, err
	}
	return s.h.besideQuery(ctx, s.users[0], syncPath(s.before, "", 0), laterEvents, s.users[0].id, position)
}

// positionOf returns the position for which a token of /sync stands.
func positionOf(token string) (position int64, err error) {
	if _, err := fmt.Sscanf(token, "s%d", &position); err != nil {
		return 0, fmt.Errorf("read the position of %s: %w", token, err)
	}
	return position, nil
}

// besideQuery makes one request of a user again and again, by turns with a query for the
// same events.
func (h *house) besideQuery(ctx context.Context, u user, path, query string, args ...any) ([]Figure, error) {
	c, err := dial(ctx, h.server.address, u.token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := h.mustReadTheSame(ctx, c, path, query, args...); err != nil {
		return nil, err
	}
	m, y, err := h.race(ctx, 1, repeat(c, path), func(int) error { return h.read(ctx, query, args...) })
	return answering(&m, &y, y.used.here), err
}

// mustReadTheSame returns an error if a query reads many more or fewer events than an answer
// has: it would be no ceiling. A few may come twice in a query and once in the answer.
func (h *house) mustReadTheSame(ctx context.Context, c *client, path, query string, args ...any) error {
	answer, err := c.do(http.MethodGet, path, "")
	if err != nil {
		return err
	}
	var read int
	if err := h.pool.QueryRow(ctx, `SELECT count(*) FROM (`+query+`) q`, args...).Scan(&read); err != nil {
		return fmt.Errorf("count what is read: %w", err)
	}
	const tenth, few = 10, 10
	shown := bytes.Count(answer, []byte(`"event_id":`))
	if difference := max(read-shown, shown-read); shown > 0 && difference > few+shown/tenth {
		return fmt.Errorf("the query reads %d events, and the answer to %s has %d", read, path, shown)
	}
	return nil
}

// repeat makes one request again and again on one connection.
func repeat(c *client, path string) part {
	return func(int) error {
		_, err := c.do(http.MethodGet, path, "")
		return err
	}
}

// answering returns the figures of requests that read, beside a ceiling with its
// processor time.
func answering(m, y *run, ceiling time.Duration) []Figure {
	const noise = 5 // microseconds: a request that takes less of PostgreSQL does not use it at all
	postgres := y.each(y.used.postgres)
	if postgres < noise {
		postgres = 0
	}
	inAll := func(r *run, own time.Duration) float64 { return r.each(own + r.used.postgres) }
	return []Figure{
		{"p50", Micros, m.percentile(50), y.percentile(50)},
		{"p99", Micros, m.percentile(99), y.percentile(99)},
		{"CPU of the server", Micros, m.each(m.used.server), y.each(ceiling)},
		{"of PostgreSQL", Micros, m.each(m.used.postgres), postgres},
		{"of both", Micros, inAll(m, m.used.server), inAll(y, ceiling)},
	}
}
