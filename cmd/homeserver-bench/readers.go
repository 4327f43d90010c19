package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// readers are users who are in the same rooms. The first one is who reads.
type readers struct {
	users []user
	rooms []string
}

// messagesEach is how many messages two of the members write into a room each: together
// more than the timeline of an answer has.
const messagesEach = 10

// makeReaders makes so many rooms of so many members. Two members of each have written
// last, so that what they wrote is what an answer begins with.
func (h *house) makeReaders(ctx context.Context, prefix string, rooms, members int) (*readers, error) {
	users, err := h.accounts(ctx, prefix, members)
	if err != nil {
		return nil, err
	}
	r := &readers{users: users, rooms: make([]string, rooms)}
	err = r.each(ctx, h, func(c *client, worker int) error {
		for i := worker; i < rooms; i += members {
			if r.rooms[i], err = c.createRoom(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := h.fill(ctx, users, func(int) []string { return r.rooms }); err != nil {
		return nil, err
	}
	return r, r.each(ctx, h, func(c *client, worker int) error { return r.talk(c, worker) })
}

// talk sends a member's messages to its own rooms and those of the next member.
func (r *readers) talk(c *client, worker int) error {
	for i, room := range r.rooms {
		if maker := i % len(r.users); maker != worker && maker != (worker+1)%len(r.users) {
			continue
		}
		for m := range messagesEach {
			if _, err := c.say(room, fmt.Sprint(m)); err != nil {
				return err
			}
		}
	}
	return nil
}

// each calls do for all users at once, with a connection each.
func (r *readers) each(ctx context.Context, h *house, do func(c *client, worker int) error) error {
	clients, err := h.connections(ctx, r.users)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	var g errgroup.Group
	for worker, c := range clients {
		g.Go(func() error { return do(c, worker) })
	}
	return g.Wait()
}

// someRooms returns readers of the usual number of rooms, who are made once.
func (h *house) someRooms(ctx context.Context) (*readers, error) {
	if h.some != nil {
		return h.some, nil
	}
	const members = 10
	some, err := h.makeReaders(ctx, "reader", h.size.readRooms, members)
	if err == nil {
		h.some = some
	}
	return some, err
}
