package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"homeserver/internal/progress"
)

// planning measures reads in two databases with the same rows: in one PostgreSQL believes
// that there is one room, and in the other it knows what there is.
type planning struct {
	h         *house
	old, true *house
	users     []user // the first one reads
	rooms     []string
	deep      string // an event in the middle of the second room
}

func newPlanning(h *house) *family {
	p := &planning{h: h}
	const unreadOnly = `{"room":{"timeline":{"limit":1},"state":{"types":[]},"ephemeral":{"types":[]},"account_data":{"types":[]}}}`
	return &family{
		key: "statistics", name: fmt.Sprintf("Reading in %d rooms with statistics of the tables from when there was one", h.size.plannedRooms), prepare: p.prepare,
		ceiling: "the same in a copy of the database with true statistics; the first /sync of a server counts from its first answer of /versions",
		cases: []testCase{
			{name: "the first /sync", restarts: true, run: func(ctx context.Context) ([]Figure, error) { return p.afresh(ctx, syncPath("", "", 0)) }},
			{name: "the first /sync, little more than what is unread", restarts: true, run: func(ctx context.Context) ([]Figure, error) {
				return p.afresh(ctx, syncPath("", unreadOnly, 0))
			}},
			{name: "/messages in old history", restarts: true, run: func(ctx context.Context) ([]Figure, error) {
				return p.again(ctx, func(end string) string { return messagesPath(p.rooms[1], end, pageEvents) })
			}},
			{name: "/context in old history", restarts: true, run: func(ctx context.Context) ([]Figure, error) {
				return p.again(ctx, func(string) string { return contextPath(p.rooms[1], p.deep, "") })
			}},
		},
	}
}

// oldStatistics gathers the statistics of all tables, for the last time.
const oldStatistics = `
	ANALYZE;
	DO $$ DECLARE t regclass; BEGIN
		FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
			EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t);
		END LOOP;
	END $$`

// prepare makes both databases. Each case starts their servers itself.
func (p *planning) prepare(ctx context.Context) (err error) {
	const members = 5
	p.h.stop()
	if p.old, err = p.h.wing(ctx, "old_statistics"); err != nil {
		return err
	}
	if p.users, err = p.old.accounts(ctx, "planner", members); err != nil {
		return err
	}
	if err := p.old.inside(ctx, func(in *insider) error { return p.fill(ctx, in) }); err != nil {
		return fmt.Errorf("fill a database: %w", err)
	}
	p.old.pool.Close() // nobody may be in what is copied
	if _, err := p.h.pool.Exec(ctx, "CREATE DATABASE true_statistics TEMPLATE old_statistics"); err != nil {
		return fmt.Errorf("copy a database: %w", err)
	}
	if err := p.old.connect(ctx); err != nil {
		return err
	}
	if p.true, err = p.h.wing(ctx, "true_statistics"); err != nil {
		return err
	}
	_, err = p.true.pool.Exec(ctx, "ANALYZE")
	return err
}

// fill makes the rooms, and takes the statistics after the first one.
func (p *planning) fill(ctx context.Context, in *insider) error {
	const unread = 20
	rooms := p.h.size.plannedRooms
	each := p.h.size.planned / rooms
	in.bar = progress.New(p.h.o.Progress, "Filling a database", int64(rooms*(len(p.users)-1+each+unread)))
	defer in.bar.Stop()
	for i := range rooms {
		room, err := in.room(ctx, p.users)
		if err != nil {
			return err
		}
		p.rooms = append(p.rooms, room)
		middle, err := in.talkAround(ctx, p.users, room, each/2, each/2)
		if err != nil {
			return err
		}
		read, err := in.talkAround(ctx, p.users, room, 0, unread)
		if err != nil {
			return err
		}
		receipt := api + "/rooms/" + url.PathEscape(room) + "/receipt/m.read/" + url.PathEscape(read)
		if err := in.do(ctx, p.users[0], http.MethodPost, receipt, "{}", &struct{}{}); err != nil {
			return err
		}
		switch i {
		case 0:
			if _, err := p.old.pool.Exec(ctx, oldStatistics); err != nil {
				return fmt.Errorf("gather statistics: %w", err)
			}
		case 1:
			p.deep = middle
		}
	}
	in.bar.Done()
	return p.old.settle(ctx)
}

// talkAround sends messages, one that it returns, and more of them.
func (in *insider) talkAround(ctx context.Context, users []user, room string, before, after int) (eventID string, err error) {
	if err := in.talk(ctx, users, room, before); err != nil {
		return "", err
	}
	var answer struct {
		EventID string `json:"event_id"`
	}
	if err := in.do(ctx, users[1], http.MethodPut, sendPath(room, fmt.Sprint("around", in.txns.Add(1))), messageBody, &answer); err != nil {
		return "", err
	}
	return answer.EventID, in.talk(ctx, users, room, after)
}

// afresh makes one request of each server after it has started, some times by turns.
func (p *planning) afresh(ctx context.Context, path string) ([]Figure, error) {
	var m, y run
	for range p.h.size.starts {
		for _, side := range []struct {
			of  *house
			sum *run
		}{{p.true, &y}, {p.old, &m}} {
			asked, _, err := side.of.askAfresh(ctx, p.users[0], path)
			side.of.stop()
			if err != nil {
				return nil, err
			}
			side.sum.join(asked)
		}
	}
	return answering(&m, &y, y.used.server), nil
}

// again makes a request of both servers again and again, by turns. Its path may name the
// token before the event that is deep in history.
func (p *planning) again(ctx context.Context, path func(end string) string) (figures []Figure, err error) {
	var clients []*client
	defer func() { closeAll(clients) }()
	for _, of := range []*house{p.old, p.true} {
		defer of.stop()
		if err := of.start(ctx); err != nil {
			return nil, err
		}
		c, err := dial(ctx, of.server.address, p.users[0].token)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	end, err := clients[0].tokenAfter(p.rooms[1], p.deep)
	if err != nil {
		return nil, err
	}
	p.old.beside = p.true.server.pid()
	m, y, err := p.old.race(ctx, 1, repeat(clients[0], path(end)), repeat(clients[1], path(end)))
	return answering(&m, &y, y.used.beside), err
}
