package timeline_test

import (
	"context"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// reads are the ways to read a room, each with all that its endpoint reads of rooms; some
// of them of what is around an older event, at a place far back.
func reads(r timeline.Reader, room, id, older string, far timeline.Place) map[string]func(ctx context.Context) error {
	bundled := func(ctx context.Context, access *timeline.Access, events []*timeline.Event) error {
		_, err := r.Aggregations(ctx, nil, timeline.Aggregated{Access: access, UpTo: 1 << 60, Events: events})
		return err
	}
	messages := func(from *timeline.Place, f *timeline.EventFilter) func(context.Context) error {
		return func(ctx context.Context) error {
			st, err := r.Messages(ctx, room, timeline.Page{Backward: true, From: from, Limit: 10, Filter: f})
			if err != nil {
				return err
			}
			return bundled(ctx, st.Access, st.Events)
		}
	}
	around := func(id string, f *timeline.EventFilter) func(context.Context) error {
		return func(ctx context.Context) error {
			c, err := r.Context(ctx, room, id, 10, f)
			if err != nil {
				return err
			}
			return bundled(ctx, c.Access, append(append([]*timeline.Event{c.Event}, c.Before.Events...), c.After.Events...))
		}
	}
	lazy := &timeline.EventFilter{LazyLoadMembers: true}
	now := timeline.Place(1 << 40)
	return map[string]func(ctx context.Context) error{
		"messages":            messages(nil, nil),
		"messages, lazy":      messages(nil, lazy),
		"older messages":      messages(&far, nil),
		"context":             around(id, nil),
		"context, lazy":       around(id, lazy),
		"older context":       around(older, nil),
		"older context, lazy": around(older, lazy),
		"state": func(ctx context.Context) error {
			_, _, err := r.State(ctx, room)
			return err
		},
		"state event": func(ctx context.Context) error {
			_, _, err := r.StateEvent(ctx, room, "m.room.name", "")
			return err
		},
		"members": func(ctx context.Context) error {
			_, _, err := r.Members(ctx, room, timeline.MemberFilter{Membership: "join"})
			return err
		},
		"members at": func(ctx context.Context) error {
			_, _, err := r.Members(ctx, room, timeline.MemberFilter{At: &now})
			return err
		},
		"joined members": func(ctx context.Context) error {
			_, err := r.JoinedMembers(ctx, room)
			return err
		},
		"event": func(ctx context.Context) error {
			e, access, err := r.Event(ctx, room, id)
			if err != nil {
				return err
			}
			return bundled(ctx, access, []*timeline.Event{e})
		},
		"relations": func(ctx context.Context) error {
			st, err := r.Relations(ctx, room, id, timeline.RelationsPage{Page: timeline.Page{Backward: true, Limit: 10}})
			if err != nil {
				return err
			}
			return bundled(ctx, st.Access, st.Events)
		},
		"threads": func(ctx context.Context) error {
			page, err := r.Threads(ctx, room, timeline.ThreadsPage{Limit: 10})
			if err != nil {
				return err
			}
			return bundled(ctx, page.Access, page.Roots)
		},
	}
}

// What it costs to read a room, in statements: the first time in a process, again, when its
// recent part is read into memory, and from then on. The first read of all asks in one more who
// is erased.
func TestStatementsOfReads(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol, dave)
	h.SetState(alice, room, "m.room.name", "", `{"name":"Kitchen"}`)
	for range 20 {
		h.Send(bob, room, "long before")
	}
	older := h.Event(bob, room, h.Send(carol, room, "there"))
	for range 60 {
		h.Send(bob, room, "before")
	}
	id := h.Send(carol, room, "here")
	h.SendEvent(carol, room, "m.room.message", `{"m.relates_to":{"rel_type":"m.thread","event_id":"`+id+`"}}`)
	for range 20 {
		h.Send(dave, room, "after")
	}
	pool, sent := h.traced()
	for name, want := range map[string][3]int{
		"messages":            {2, 1, 0},
		"messages, lazy":      {3, 1, 0},
		"older messages":      {2, 2, 1},
		"context":             {4, 1, 0},
		"context, lazy":       {4, 1, 0},
		"older context":       {3, 2, 1},
		"older context, lazy": {3, 2, 1},
		"state":               {2, 0, 0},
		"state event":         {2, 1, 0},
		"members":             {2, 0, 0},
		"members at":          {3, 0, 0},
		"joined members":      {2, 0, 0},
		"event":               {4, 1, 0},
		"relations":           {3, 2, 1},
		"threads":             {4, 2, 1},
	} {
		started := &env{roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Watch: time.Hour}}).Run()}
		_, _, _ = started.Rooms.Timeline.For(dave).Access(t.Context(), "!nowhere:localhost") // reads who is erased
		read := reads(started.Rooms.Timeline.For(bob), room, id, older.ID, older.Place)[name]
		for i, want := range want {
			sent.Take()
			h.OK(read(t.Context()))
			if got := sent.Take(); len(got) != want {
				t.Errorf("%s, time %d: %d statements instead of %d: %s", name, i+1, len(got), want, got)
			}
		}
	}
}
