package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"homeserver/cmd/homeserver-bench/bare"
)

// delivering measures how soon those who wait for a room hear of its messages.
type delivering struct {
	h     *house
	users []user
	room  string
	txns  atomic.Int64
}

func newDelivering(h *house) *family {
	d := &delivering{h: h}
	return &family{
		key: "deliver", name: "Delivering messages", prepare: d.prepare,
		ceiling: "a bare server that wakes as many requests by a channel and answers them with as many bytes; " +
			"from the request: after a bare commit; of all messages: each once with every client, in order",
		cases: []testCase{
			{name: fmt.Sprintf("one message to %d waiting", h.size.listeners), run: d.single},
			{name: fmt.Sprintf("%d messages to %d at once", h.size.burst, h.size.listeners), run: d.flood},
		},
	}
}

func (d *delivering) prepare(ctx context.Context) (err error) {
	if d.users, err = d.h.accounts(ctx, "listener", d.h.size.listeners); err != nil {
		return err
	}
	d.room, err = d.h.roomOf(ctx, d.users)
	return err
}

// lateness is how long after something each of the listeners heard, of all rounds.
type lateness struct{ fromRequest, fromCommit []time.Duration }

func (l *lateness) add(requested, committed time.Time, answers []heard) {
	for _, a := range answers {
		l.fromRequest = append(l.fromRequest, a.at.Sub(requested))
		l.fromCommit = append(l.fromCommit, a.at.Sub(committed))
	}
}

func (l *lateness) sort() {
	slices.Sort(l.fromRequest)
	slices.Sort(l.fromCommit)
}

// single sends one message after the other, each when all wait, by turns with the
// ceiling.
func (d *delivering) single(ctx context.Context) ([]Figure, error) {
	list, err := d.h.listeners(ctx, d.users, d.room)
	if err != nil {
		return nil, err
	}
	defer closeListeners(list)
	speaker, err := dial(ctx, d.h.server.address, d.users[0].token)
	if err != nil {
		return nil, err
	}
	defer speaker.close()
	yardstick, err := newChimes(ctx, d.h, len(list))
	if err != nil {
		return nil, err
	}
	defer yardstick.close()
	var m, y lateness
	var used time.Duration
	for range d.h.size.rounds {
		took, answer, err := d.round(ctx, list, speaker, &m)
		if err == nil {
			err = yardstick.round(ctx, answer, &y)
		}
		if err != nil {
			return nil, err
		}
		used += took
	}
	m.sort()
	y.sort()
	return []Figure{
		{"p50 from the commit", Micros, percentile(m.fromCommit, 50), percentile(y.fromCommit, 50)},
		{"p99 from the commit", Micros, percentile(m.fromCommit, 99), percentile(y.fromCommit, 99)},
		{"p50 from the request", Micros, percentile(m.fromRequest, 50), percentile(y.fromRequest, 50)},
		{"p99 from the request", Micros, percentile(m.fromRequest, 99), percentile(y.fromRequest, 99)},
		{"CPU of the server, an answer", Micros, micros(used) / float64(len(m.fromCommit)), 0},
	}, nil
}

// round sends a message while all listeners wait, and notes when each has got it. The time
// of the commit is taken to be that of its answer. It returns the processor time of the
// server and one of the answers.
func (d *delivering) round(ctx context.Context, list []*listener, speaker *client, m *lateness) (time.Duration, []byte, error) {
	for _, l := range list {
		if err := l.ask(patience); err != nil {
			return 0, nil, err
		}
	}
	err := until(ctx, func() (bool, error) {
		waiting, err := d.h.server.waiting(ctx)
		return waiting == len(list), err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("wait until all wait: %w", err)
	}
	before := d.h.usage().server
	await := hearAll(list)
	requested := time.Now()
	id, err := speaker.say(d.room, fmt.Sprint(d.txns.Add(1)))
	committed := time.Now()
	if err != nil {
		return 0, nil, err
	}
	answers, err := await()
	if err != nil {
		return 0, nil, err
	}
	used := d.h.usage().server - before
	m.add(requested, committed, answers)
	for i, l := range list {
		l.seen = nil
		if err := l.note(answers[i].content); err != nil {
			return 0, nil, err
		}
	}
	return used, answers[0].content, onceInOrder([][]string{{id}}, list)
}

// speakers is how many send at once in a flood.
const speakers = 8

// flood sends from some users as fast as they can while all listen, and checks what the
// listeners have seen.
func (d *delivering) flood(ctx context.Context) ([]Figure, error) {
	list, err := d.h.listeners(ctx, d.users, d.room)
	if err != nil {
		return nil, err
	}
	defer closeListeners(list)
	clients, err := d.h.connections(ctx, d.users[:speakers])
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	sent := make([][]string, speakers)
	each := d.h.size.burst / speakers
	var g errgroup.Group
	for _, l := range list {
		g.Go(func() error { return l.follow(each * speakers) })
	}
	for i, c := range clients {
		g.Go(func() error {
			for range each {
				id, err := c.say(d.room, fmt.Sprint(d.txns.Add(1)))
				if err != nil {
					return err
				}
				sent[i] = append(sent[i], id)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := onceInOrder(sent, list); err != nil {
		return nil, err
	}
	seen := 0
	for _, l := range list {
		seen += len(l.seen)
	}
	return []Figure{{"once and in order", Events, float64(seen), float64(each * speakers * len(list))}}, nil
}

// follow goes on until it has seen so many events, and what comes after them.
func (l *listener) follow(events int) error {
	for timeout := patience; timeout > 0; {
		if len(l.seen) >= events {
			timeout = 0
		}
		if err := l.ask(timeout); err != nil {
			return err
		}
		answer, err := l.hear()
		if err == nil {
			err = l.note(answer.content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chimes is the ceiling of delivery: as many clients of a bare server.
type chimes struct {
	chime   *bare.Chime
	commits *bare.Messages
	list    []*listener
}

func newChimes(ctx context.Context, h *house, n int) (*chimes, error) {
	commits, err := h.bareMessages(ctx)
	if err != nil {
		return nil, err
	}
	chime, err := bare.StartChime(ctx)
	if err != nil {
		return nil, err
	}
	y := &chimes{chime: chime, commits: commits}
	for range n {
		c, err := dial(ctx, chime.Address, "")
		if err != nil {
			y.close()
			return nil, err
		}
		y.list = append(y.list, &listener{client: c})
	}
	return y, nil
}

func (y *chimes) close() {
	closeListeners(y.list)
	_ = y.chime.Stop() // all of it has been seen
}

// round commits a message while all wait, wakes them with the answer, and notes when each
// has got it.
func (y *chimes) round(ctx context.Context, answer []byte, late *lateness) error {
	for _, l := range y.list {
		if err := l.send(http.MethodGet, "/", ""); err != nil {
			return err
		}
	}
	err := until(ctx, func() (bool, error) { return y.chime.Waiting() == len(y.list), nil })
	if err != nil {
		return fmt.Errorf("wait until all wait for the bare server: %w", err)
	}
	await := hearAll(y.list)
	requested := time.Now()
	if err := y.commits.Commit(0, 1); err != nil {
		return err
	}
	committed := time.Now()
	y.chime.Ring(answer)
	answers, err := await()
	if err != nil {
		return err
	}
	late.add(requested, committed, answers)
	return nil
}
