package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
)

// sending measures how fast messages become durable.
type sending struct {
	h     *house
	users []user
	rooms []string
	txns  atomic.Int64
}

// senders are the numbers of those who send at once.
var senders = []int{1, 16, 64, 256}

func newSending(h *house) *family {
	s := &sending{h: h}
	f := &family{
		key: "send", name: "Sending messages", prepare: s.prepare,
		ceiling: "a bare group commit of the same rows, with as many waiting for it",
	}
	for _, rooms := range []int{h.size.rooms, 1} {
		where := "one room"
		if rooms > 1 {
			where = fmt.Sprintf("%d rooms", rooms)
		}
		for _, n := range senders {
			f.cases = append(f.cases, testCase{
				name: fmt.Sprintf("%d into %s", n, where),
				run:  func(ctx context.Context) ([]Figure, error) { return s.race(ctx, n, rooms) },
			})
		}
	}
	return f
}

// prepare makes rooms in which each of the senders has its place: all are in the
// first one.
func (s *sending) prepare(ctx context.Context) error {
	h := s.h
	var err error
	if s.users, err = h.accounts(ctx, "sender", slices.Max(senders)); err != nil {
		return err
	}
	founder, err := dial(ctx, h.server.address, s.users[0].token)
	if err != nil {
		return err
	}
	defer founder.close()
	s.rooms = make([]string, h.size.rooms)
	for i := range s.rooms {
		if s.rooms[i], err = founder.createRoom(); err != nil {
			return err
		}
	}
	err = h.fill(ctx, s.users[1:], func(i int) []string {
		return []string{s.rooms[0], s.rooms[(i+1)%len(s.rooms)]}
	})
	if err != nil {
		return err
	}
	_, err = founder.say(s.rooms[0], "first")
	return err
}

// race measures n senders who send to so many rooms.
func (s *sending) race(ctx context.Context, n, rooms int) ([]Figure, error) {
	clients, err := s.h.connections(ctx, s.users[:n])
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	loop, err := s.h.bareMessages(ctx)
	if err != nil {
		return nil, err
	}
	m, y, err := s.h.race(ctx, n,
		func(sender int) error {
			_, err := clients[sender].do(http.MethodPut, sendPath(s.rooms[sender%rooms], fmt.Sprint(s.txns.Add(1))), messageBody)
			return err
		},
		func(sender int) error { return loop.Commit(sender, rooms) })
	if err != nil {
		return nil, err
	}
	return []Figure{
		{"events", PerSecond, m.rate(), y.rate()},
		{"p50", Micros, m.percentile(50), y.percentile(50)},
		{"p99", Micros, m.percentile(99), y.percentile(99)},
		{"CPU of the server, an event", Micros, m.each(m.used.server), y.each(y.used.here)},
		{"of PostgreSQL", Micros, m.each(m.used.postgres), y.each(y.used.postgres)},
		{"of the clients", Micros, m.each(m.used.here), 0},
	}, nil
}
