package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
)

// sizing measures whether the size of a room matters to those who use it.
type sizing struct {
	h     *house
	large *large
	txns  atomic.Int64
}

func newSizing(h *house) *family {
	s := &sizing{h: h}
	f := &family{
		key: "size", name: "Large rooms", prepare: s.prepare,
		ceiling: fmt.Sprintf("the same in a room of %d members, with few events", h.size.members[0]),
	}
	for _, n := range h.size.members[1:] {
		f.add(fmt.Sprintf("%d members", n), s, func() string { return s.large.byMember[n] })
	}
	for _, n := range h.size.events {
		f.add(fmt.Sprintf("%d events", n), s, func() string { return s.large.byEvents[n] })
	}
	return f
}

// add adds the cases of one large room.
func (f *family) add(size string, s *sizing, room func() string) {
	f.cases = append(f.cases,
		testCase{name: "send, " + size, run: func(ctx context.Context) ([]Figure, error) { return s.send(ctx, room()) }},
		testCase{name: "/sync of one event, " + size, run: func(ctx context.Context) ([]Figure, error) { return s.sync(ctx, room()) }})
}

func (s *sizing) prepare(ctx context.Context) (err error) {
	s.large, err = s.h.load(ctx)
	return err
}

// small is the room that others are compared with.
func (s *sizing) small() string { return s.large.byMember[s.h.size.members[0]] }

// send measures some users who send to the room, by turns with the small one.
func (s *sizing) send(ctx context.Context, room string) ([]Figure, error) {
	const several = 8
	clients, err := s.h.connections(ctx, s.large.users[:several])
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	into := func(room string) part {
		return func(sender int) error {
			_, err := clients[sender].do(http.MethodPut, sendPath(room, fmt.Sprint("size", s.txns.Add(1))), messageBody)
			return err
		}
	}
	m, y, err := s.h.race(ctx, several, into(room), into(s.small()))
	return answering(&m, &y, y.used.server), err
}

// sync asks for one event of the room by turns with one of the small one.
func (s *sizing) sync(ctx context.Context, room string) ([]Figure, error) {
	reading, err := s.oneEvent(ctx, room)
	if err != nil {
		return nil, err
	}
	yardstick, err := s.oneEvent(ctx, s.small())
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, s.h.server.address, s.large.users[1].token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	m, y, err := s.h.race(ctx, 1, repeat(c, reading), repeat(c, yardstick))
	return answering(&m, &y, y.used.server), err
}

// oneEvent sends a message, and returns the path of a /sync that has it alone.
func (s *sizing) oneEvent(ctx context.Context, room string) (path string, err error) {
	c, err := dial(ctx, s.h.server.address, s.large.users[0].token)
	if err != nil {
		return "", err
	}
	defer c.close()
	var before struct {
		NextBatch string `json:"next_batch"`
	}
	// Nothing of the rooms is wanted, only where the journal stands.
	const nothing = `{"room":{"rooms":[]}}`
	if err := c.into(&before, http.MethodGet, syncPath("", nothing, 0), ""); err != nil {
		return "", err
	}
	if _, err := c.say(room, fmt.Sprint("size", s.txns.Add(1))); err != nil {
		return "", err
	}
	only := fmt.Sprintf(`{"room":{"rooms":[%q]}}`, room)
	return syncPath(before.NextBatch, only, 0), nil
}
