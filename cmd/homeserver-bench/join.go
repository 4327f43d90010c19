package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// joining measures whether it matters how many are in a room that one joins.
type joining struct {
	h     *house
	users []user
	room  string
}

func newJoining(h *house) *family {
	j := &joining{h: h}
	return &family{
		key: "join", name: "Joining a room", prepare: j.prepare,
		ceiling: fmt.Sprintf("the first %d who joined the same room", h.size.joinsCompared),
		cases: []testCase{{
			name: fmt.Sprintf("the last %d of %d", h.size.joinsCompared, h.size.joins), run: j.run,
		}},
	}
}

func (j *joining) prepare(ctx context.Context) (err error) {
	// One more makes the room.
	if j.users, err = j.h.accounts(ctx, "joiner", j.h.size.joins+1); err != nil {
		return err
	}
	j.room, err = j.h.roomOf(ctx, j.users[:1])
	return err
}

// run has the users join one after the other, and compares the first and the last joins.
func (j *joining) run(ctx context.Context) ([]Figure, error) {
	compared, all := j.h.size.joinsCompared, j.users[1:]
	first, err := j.joinAll(ctx, all[:compared])
	if err != nil {
		return nil, err
	}
	if _, err := j.joinAll(ctx, all[compared:len(all)-compared]); err != nil {
		return nil, err
	}
	last, err := j.joinAll(ctx, all[len(all)-compared:])
	return answering(&last, &first, first.used.server), err
}

// joinAll has users join one after the other, each on a connection of its own.
func (j *joining) joinAll(ctx context.Context, users []user) (run, error) {
	r := run{}
	before, started := j.h.usage(), time.Now()
	for _, u := range users {
		c, err := dial(ctx, j.h.server.address, u.token)
		if err != nil {
			return r, err
		}
		begun := time.Now()
		err = c.join(j.room)
		r.latencies = append(r.latencies, time.Since(begun))
		c.close()
		if err != nil {
			return r, err
		}
	}
	r.took = time.Since(started)
	if err := j.h.settle(ctx); err != nil {
		return r, err
	}
	r.used = j.h.usage().sub(before)
	slices.Sort(r.latencies)
	return r, nil
}
