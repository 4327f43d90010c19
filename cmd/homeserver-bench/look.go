package main

import (
	"context"
	"fmt"
	"net/url"

	"golang.org/x/sync/errgroup"
)

// looking measures what clients ask of one room when somebody opens it: its newest events,
// those around an old one, its members and its state.
type looking struct {
	h       *house
	talk    string // a room of some members with a history
	deep    string // an event in the middle of that
	end     string // the token just before that, for going back
	recent  string // an event that the server has seen since it started
	crowd   string // a room of many members
	talkers []user
	members []user
}

// talkers is how many users are in the room with a history.
const talkers = 10

func newLooking(h *house) *family {
	l := &looking{h: h}
	many := fmt.Sprintf("of %d members", h.size.crowd)
	f := &family{
		key: "look", name: "Looking into a room", prepare: l.prepare,
		ceiling: "one query that reads the same events from PostgreSQL, without a network between",
		cases: []testCase{
			{name: "/state " + many, run: l.ofCrowd("/state", oneRoom+currentState)},
			{name: "/state/m.room.name " + many, run: l.ofCrowd("/state/m.room.name", oneRoom+currentState+` AND s.type = 'm.room.name'`)},
			{name: "/members " + many, run: l.ofCrowd("/members", oneRoom+currentState+onlyMembers)},
			{name: "/joined_members " + many, run: l.ofCrowd("/joined_members", oneRoom+currentState+onlyMembers+` AND s.value = 'join'`)},
			{name: "/sync of a room " + many, run: l.sync(false, oneRoom+everything)},
			{name: "/sync of a room " + many + ", members lazily", run: l.sync(true, oneRoom+everythingLazily)},
		},
	}
	for _, place := range []string{"deep in history", "at the end"} {
		at := func() string { return l.deep }
		from := func() string { return l.end }
		if place == "at the end" {
			at, from = func() string { return l.recent }, func() string { return "" }
		}
		f.cases = append(f.cases,
			testCase{name: "/context " + place, run: l.context(at, "", around+stateAround)},
			testCase{name: "/context " + place + ", members lazily", run: l.context(at, `{"lazy_load_members":true}`, around+stateAround+notMembers+writersAround)},
		)
		for _, n := range []int{20, 100} {
			f.cases = append(f.cases, testCase{name: fmt.Sprintf("/messages %s, %d events", place, n), run: l.messages(from, at, n)})
		}
	}
	return f
}

// prepare makes both rooms, and starts the server anew between the history and what is
// recent.
func (l *looking) prepare(ctx context.Context) (err error) {
	if l.members, err = l.h.accounts(ctx, "looker", l.h.size.crowd); err != nil {
		return err
	}
	l.talkers = l.members[:talkers]
	if l.crowd, err = l.h.roomOf(ctx, l.members); err != nil {
		return err
	}
	if l.talk, err = l.h.roomOf(ctx, l.talkers); err != nil {
		return err
	}
	if _, err = l.say(ctx, "older", l.h.size.talk/2); err != nil {
		return err
	}
	if l.deep, err = l.say(ctx, "deep", 1); err != nil {
		return err
	}
	if _, err = l.say(ctx, "newer", l.h.size.talk/2); err != nil {
		return err
	}
	l.h.stop()
	if err := l.h.start(ctx); err != nil {
		return err
	}
	if l.recent, err = l.say(ctx, "recent", pageEvents); err != nil {
		return err
	}
	c, err := dial(ctx, l.h.server.address, l.talkers[0].token)
	if err != nil {
		return err
	}
	defer c.close()
	l.end, err = c.tokenAfter(l.talk, l.deep)
	return err
}

// say sends n messages from each talker, at once, and returns the last event of the first one.
func (l *looking) say(ctx context.Context, what string, n int) (last string, err error) {
	clients, err := l.h.connections(ctx, l.talkers)
	if err != nil {
		return "", err
	}
	defer closeAll(clients)
	var g errgroup.Group
	for i, c := range clients {
		g.Go(func() error {
			for m := i; m < n; m += len(clients) {
				id, err := c.say(l.talk, fmt.Sprint(what, m))
				if err != nil {
					return err
				}
				if i == 0 {
					last = id
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return last, err
}

// ofCrowd asks for something of the room of many members.
func (l *looking) ofCrowd(path, query string) func(ctx context.Context) ([]Figure, error) {
	return func(ctx context.Context) ([]Figure, error) {
		return l.h.besideQuery(ctx, l.members[1], api+"/rooms/"+url.PathEscape(l.crowd)+path, query, l.crowd)
	}
}

// sync asks for all of the room of many members.
func (l *looking) sync(lazy bool, query string) func(ctx context.Context) ([]Figure, error) {
	return func(ctx context.Context) ([]Figure, error) {
		filter := fmt.Sprintf(`{"room":{"rooms":[%q],"state":{"lazy_load_members":%t}}}`, l.crowd, lazy)
		return l.h.besideQuery(ctx, l.members[1], syncPath("", filter, 0), query, l.crowd)
	}
}

// context asks for what stands around an event.
func (l *looking) context(event func() string, filter, query string) func(ctx context.Context) ([]Figure, error) {
	return func(ctx context.Context) ([]Figure, error) {
		return l.h.besideQuery(ctx, l.talkers[1], contextPath(l.talk, event(), filter), query, event())
	}
}

// messages asks for one page, back from a token, which is empty at the end.
func (l *looking) messages(from, event func() string, limit int) func(ctx context.Context) ([]Figure, error) {
	return func(ctx context.Context) ([]Figure, error) {
		path := messagesPath(l.talk, from(), limit)
		if from() == "" {
			return l.h.besideQuery(ctx, l.talkers[1], path, fmt.Sprintf(newestPage, limit), l.talk)
		}
		return l.h.besideQuery(ctx, l.talkers[1], path, fmt.Sprintf(pageFrom, limit), event())
	}
}
