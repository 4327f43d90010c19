package timeline_test

import (
	"fmt"
	"maps"
	"math"
	"strings"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// all returns lists as one.
func all(lists timeline.Lists, err error) (timeline.List, error) { return lists.All(), err }

// readers returns the functions that read events and state of many rooms at once, and of one,
// by name.
func (h *planned) readers() map[string]func() error {
	ctx, store, now := h.T.Context(), h.Rooms.Timeline.Stored(), h.Journal.Position()
	end := timeline.PlaceOf(now)
	var windows []timeline.Window
	var at []timeline.RoomAt
	var around []timeline.Around
	var deltas []timeline.Delta
	var members []timeline.MemberAt
	var nids []journal.RoomNID
	var ids []string
	room, first, step := h.room, h.NID(h.room), h.step
	for k := range h.copies + 1 {
		id := room
		if k > 0 {
			id = fmt.Sprint(room, k)
		}
		ids = append(ids, id)
		nid, middle := first+journal.RoomNID(1000*k), timeline.PlaceOf(step*journal.Position(2*k+1)/2)
		nids = append(nids, nid)
		windows = append(windows, timeline.Window{Room: nid, Range: timeline.Range{From: middle, To: end}})
		at = append(at, timeline.RoomAt{Room: nid, At: middle})
		around = append(around, timeline.Around{Room: nid, Start: middle, Until: end})
		deltas = append(deltas, timeline.Delta{Room: nid, Since: middle, Start: end - 10, UpTo: end})
		members = append(members, timeline.MemberAt{RoomAt: at[k], User: bob})
	}
	messages := &timeline.EventFilter{Types: &[]string{"m.room.message"}}
	lists := map[string]func() (timeline.List, error){
		"Timelines":           func() (timeline.List, error) { return all(store.Timelines(ctx, windows, 20, nil)) },
		"Timelines, filtered": func() (timeline.List, error) { return all(store.Timelines(ctx, windows, 20, messages)) },
		"TimelinesButMembers": func() (timeline.List, error) { return all(store.TimelinesButMembers(ctx, windows, 20, bob)) },
		"Newest":              func() (timeline.List, error) { return store.Newest(ctx, windows, 20) },
		"Oldest":              func() (timeline.List, error) { return store.Oldest(ctx, windows, 20, nil) },
		"Neighbours":          func() (timeline.List, error) { return store.Neighbours(ctx, windows, true, 5) },
		"States":              func() (timeline.List, error) { return all(store.States(ctx, at, nil, true)) },
		"States, no members":  func() (timeline.List, error) { return all(store.States(ctx, at, nil, false)) },
		"StatesAround": func() (timeline.List, error) {
			return all(store.StatesAround(ctx, around, []timeline.EventNID{9}, nil, true))
		},
		"StatesAround, no members": func() (timeline.List, error) {
			return all(store.StatesAround(ctx, around, []timeline.EventNID{9}, nil, false))
		},
		"LazyStates": func() (timeline.List, error) {
			lazy := make([]timeline.LazyState, len(at))
			for i := range at {
				lazy[i] = timeline.LazyState{RoomAt: at[i], Members: []string{bob, alice}}
			}
			return all(store.LazyStates(ctx, lazy, nil, messages))
		},
		"MemberEvents": func() (timeline.List, error) { return all(store.MemberEvents(ctx, members, nil)) },
		"Stripped":     func() (timeline.List, error) { return store.Stripped(ctx, at, bob) },
	}
	reads := map[string]func() error{
		"Recall":    func() error { return h.Rooms.Timeline.Recall(ctx, nids) },
		"Standings": func() error { _, err := store.Standings(ctx, bob); return err },
		"StateChanges": func() error {
			changes, err := store.StateChanges(ctx, deltas)
			if err == nil && len(changes) == 0 {
				h.T.Error("StateChanges finds nothing")
			}
			return err
		},
		"StateBetween": func() error { _, err := store.StateBetween(ctx, step/2, step-10, "m.room.member"); return err },
		"MaySharingChange": func() error {
			may, err := store.MaySharingChange(ctx, timeline.SharingQuery{
				UserID: bob, UpTo: end, ListedBy: `SELECT WHERE $4::bigint > 0`,
			}, nids)
			if err == nil && !may {
				h.T.Error("MaySharingChange finds no change of a membership")
			}
			return err
		},
		"Sharing": func() error {
			list, err := store.Sharing(ctx, timeline.SharingQuery{
				UserID: bob, Since: timeline.PlaceOf(step / 2), UpTo: end, Moved: true, Users: []string{alice}, Most: 2000,
				ListedBy: `SELECT '@nobody:localhost' WHERE $4::bigint > 0`,
			})
			if err == nil && len(list) == 0 {
				h.T.Error("Sharing finds nobody")
			}
			return err
		},
		"Summaries":    func() error { _, err := store.Summaries(ctx, nids, bob); return err },
		"recent parts": func() error { return store.Recall(ctx, nids) }, // after what would be read from them then
		"EventsBetween": func() error {
			_, err := store.EventsBetween(ctx, step/2, step-10, []string{"m.room.message"})
			return err
		},
		"RedactedBetween": func() error { _, err := store.RedactedBetween(ctx, step/2, step-10); return err },
		"State":           func() error { _, _, err := store.For(bob).State(ctx, room); return err },
		"StateEvent":      func() error { _, _, err := store.For(bob).StateEvent(ctx, room, "m.room.topic", ""); return err },
		"Members": func() error {
			_, _, err := store.For(bob).Members(ctx, room, timeline.MemberFilter{At: &at[0].At})
			return err
		},
		"MutualRooms": func() error {
			list, count, err := store.MutualRooms(ctx, bob, alice, 0, 20)
			if err == nil && (len(list) != min(20, h.copies+1) || count != int64(h.copies+1)) {
				h.T.Errorf("MutualRooms finds %d of %d", len(list), count)
			}
			return err
		},
		"EventAtTime": func() error {
			_, err := store.For(bob).EventAtTime(ctx, room, 1, false)
			return err
		},
		"EventAtTime, backward": func() error {
			_, err := store.For(bob).EventAtTime(ctx, room, math.MaxInt64, true)
			return err
		},
		"Relations": func() error { return h.readRelations(room, timeline.RelationsPage{}) },
		"Relations, by type": func() error {
			return h.readRelations(room, timeline.RelationsPage{RelType: "m.thread", EventType: "m.room.message"})
		},
		"Relations, recursive": func() error { return h.readRelations(room, timeline.RelationsPage{Recurse: true}) },
		"Aggregations":         func() error { return h.readAggregations(room) },
		"Threads":              func() error { return h.readThreads(room, timeline.ThreadsPage{Limit: 20}) },
		"Threads, a later page": func() error {
			from := &timeline.ThreadsToken{UpTo: at[0].At, AsOf: at[0].At}
			return h.readThreads(room, timeline.ThreadsPage{Limit: 20, From: from, Ignored: []string{carol}})
		},
		"Threads, participated": func() error { return h.readThreads(room, timeline.ThreadsPage{Limit: 20, Participated: true}) },
		"Messages": func() error {
			_, err := store.For(bob).Messages(ctx, room, timeline.Page{Limit: 20})
			return err
		},
		"Messages, backward": func() error {
			lazy := &timeline.EventFilter{LazyLoadMembers: true}
			_, err := store.For(bob).Messages(ctx, room, timeline.Page{Backward: true, Limit: 20, Filter: lazy})
			return err
		},
		"Context":       func() error { return h.readContext(room, nil) },
		"Context, lazy": func() error { return h.readContext(room, &timeline.EventFilter{LazyLoadMembers: true}) },
	}
	maps.Copy(reads, h.spaceReaders(ids, nids, end))
	for name, list := range lists {
		reads[name] = func() error {
			l, err := list()
			if err == nil && len(l.Events) == 0 && name != "Neighbours" {
				h.T.Errorf("%s finds nothing", name)
			}
			return err
		}
	}
	return reads
}

// readContext reads what is around an event in the middle of a room.
func (h *planned) readContext(room string, f *timeline.EventFilter) error {
	h.T.Helper()
	history := h.History(bob, room)
	c, err := h.Rooms.Timeline.Stored().For(bob).Context(h.T.Context(), room, history[len(history)/2].ID, 20, f)
	if err == nil && (len(c.Before.Events) != 10 || len(c.After.Events) != 10 || len(c.State.Events) == 0) {
		h.T.Errorf("Context finds %d events before, %d after, and %d of the state", len(c.Before.Events), len(c.After.Events), len(c.State.Events))
	}
	return err
}

// roots returns events of a room that have replies.
func (h *planned) roots(room string) (events []*timeline.Event) {
	h.T.Helper()
	for _, e := range h.History(bob, room) {
		if content := string(e.Content()); strings.Contains(content, "first ") {
			events = append(events, e)
		}
	}
	return events
}

func (h *planned) readRelations(room string, p timeline.RelationsPage) error {
	p.Backward, p.Limit = true, 20
	found, err := h.Rooms.Timeline.Stored().For(bob).Relations(h.T.Context(), room, h.roots(room)[0].ID, p)
	if err == nil && len(found.Events) == 0 {
		h.T.Error("Relations finds nothing")
	}
	return err
}

func (h *planned) readAggregations(room string) error {
	reader, now := h.Rooms.Timeline.Stored().For(bob), timeline.PlaceOf(h.Journal.Position())
	_, access, err := reader.Access(h.T.Context(), room)
	h.OK(err)
	found, err := reader.Aggregations(h.T.Context(), []string{carol}, timeline.Aggregated{Access: access, UpTo: now, Events: h.roots(room)})
	if err == nil && len(found) == 0 {
		h.T.Error("Aggregations finds nothing")
	}
	return err
}

// spaceReaders returns the functions that read the trees of spaces.
func (h *planned) spaceReaders(ids []string, nids []journal.RoomNID, end timeline.Place) map[string]func() error {
	ctx, store := h.T.Context(), h.Rooms.Timeline.Stored()
	return map[string]func() error{
		"Previews": func() error {
			list, err := store.Previews(ctx, ids, bob, end)
			if err == nil && (len(list) != len(ids) || list[0].Membership != "join") {
				h.T.Errorf("Previews finds %d of %d rooms", len(list), len(ids))
			}
			return err
		},
		"JoinedAt": func() error {
			joined, err := store.JoinedAt(ctx, bob, ids, end)
			if err == nil && len(joined) != len(ids) {
				h.T.Errorf("JoinedAt finds %d of %d rooms", len(joined), len(ids))
			}
			return err
		},
		"SpaceChildren": func() error {
			children, err := store.SpaceChildren(ctx, nids, end, 1000)
			if err == nil && len(children) != len(nids) {
				h.T.Errorf("SpaceChildren finds %d children of %d", len(children), len(nids))
			}
			return err
		},
		"SpaceChildren, before": func() error {
			_, err := store.SpaceChildren(ctx, nids[:1], timeline.PlaceOf(h.step/2), 1000)
			return err
		},
	}
}

// readThreads reads a page of threads, on which there is one.
func (h *planned) readThreads(room string, p timeline.ThreadsPage) error {
	page, err := h.Rooms.Timeline.Stored().For(bob).Threads(h.T.Context(), room, p)
	if err == nil && len(page.Roots) == 0 {
		h.T.Error("Threads finds none")
	}
	return err
}
