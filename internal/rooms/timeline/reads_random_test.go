package timeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// asShown writes events as a client gets them.
func asShown(access *timeline.Access, bundled timeline.Aggregations, events []*timeline.Event) []string {
	f := timeline.Format{WithRoomID: true, Now: time.Unix(1<<40, 0), UserID: bob, DeviceID: "PHONE", Access: access, Aggregations: bundled}
	list := []string{}
	for _, e := range events {
		list = append(list, string(f.AppendJSON(nil, e)))
	}
	return list
}

// query is a question about a room at random.
type query struct {
	*rand.Rand
	room, id string
	end      journal.Position
}

// moment returns a place up to the end, mostly a recent one, or none.
func (q *query) moment() *timeline.Place {
	if q.IntN(3) == 0 {
		return nil
	}
	at := max(0, timeline.PlaceOf(q.end)-timeline.Place(q.IntN(1+q.IntN(1+int(q.end))))*1024)
	return &at
}

// ask returns the answers to a question, written as clients get them, by what was asked.
func (q *query) ask(h *lineEnv, s *timeline.Store, reader string, seed uint64) map[string][]string {
	h.T.Helper()
	ctx, r := h.T.Context(), s.For(reader)
	q.Rand = rand.New(rand.NewPCG(seed, 7)) // each time the same question
	answers := map[string][]string{}
	refused := func(name string, err error) bool {
		if err != nil {
			if !matrix.IsCode(err, matrix.Forbidden) && !matrix.IsCode(err, matrix.NotFound) {
				h.T.Fatal(name, err)
			}
			answers[name] = []string{err.Error()}
		}
		return err != nil
	}
	filters := []*timeline.EventFilter{
		nil, nil, {LazyLoadMembers: true}, {NotTypes: []string{"m.room.*"}}, {Types: &[]string{event.TypeMember}}, {NotSenders: []string{carol}},
		(&timeline.EventFilter{}).WithoutMessagesOf([]string{alice}),
	}
	f := filters[q.IntN(len(filters))]
	bundle := func(access *timeline.Access, events []*timeline.Event) timeline.Aggregations {
		all, err := r.Aggregations(ctx, []string{dave}, timeline.Aggregated{Access: access, UpTo: timeline.PlaceOf(q.end), Events: events})
		h.OK(err)
		return all
	}
	page := timeline.Page{Backward: q.IntN(2) == 0, From: q.moment(), To: q.moment(), Limit: q.IntN(30), Filter: f}
	if st, err := r.Messages(ctx, q.room, page); !refused("messages", err) {
		answers["messages"] = append(asShown(st.Access, bundle(st.Access, st.Events), st.Events), fmt.Sprint(st.Start, st.End, st.More))
		answers["messages, members"] = asShown(st.Access, nil, st.Members.Events)
	}
	if c, err := r.Context(ctx, q.room, q.id, q.IntN(20), f); !refused("context", err) {
		events := slices.Concat(c.Before.Events, []*timeline.Event{c.Event}, c.After.Events)
		answers["context"] = append(asShown(c.Access, bundle(c.Access, events), events), fmt.Sprint(c.Before.End, c.After.End))
		answers["context, state"] = h.listed(ctx, s.Cursor(c.State), c.Access)
	}
	if e, access, err := r.Event(ctx, q.room, q.id); !refused("event", err) {
		events := []*timeline.Event{e}
		answers["event"] = asShown(access, bundle(access, events), events)
	}
	if list, access, err := r.State(ctx, q.room); !refused("state", err) {
		answers["state"] = h.listed(ctx, list, access)
	}
	if e, access, err := r.StateEvent(ctx, q.room, event.TypeMember, []string{bob, carol, dave, "@nobody:localhost"}[q.IntN(4)]); !refused("state event", err) {
		answers["state event"] = asShown(access, nil, []*timeline.Event{e})
	}
	memberships := []string{"", "", event.Join, event.Leave, event.Ban}
	chosen := timeline.MemberFilter{Membership: memberships[q.IntN(5)], NotMembership: memberships[q.IntN(5)], At: q.moment()}
	if list, access, err := r.Members(ctx, q.room, chosen); !refused("members", err) {
		answers["members"] = h.listed(ctx, list, access)
	}
	if list, err := r.JoinedMembers(ctx, q.room); !refused("joined members", err) {
		answers["joined members"] = h.listed(ctx, list, nil)
	}
	return answers
}

func (h *lineEnv) listed(ctx context.Context, c *timeline.Cursor, access *timeline.Access) []string {
	h.T.Helper()
	var events []*timeline.Event
	for e, err := range c.All(ctx) {
		h.OK(err)
		events = append(events, e)
	}
	return asShown(access, nil, events)
}

// relate has somebody send something that is aggregated with another event, or redact something.
func (h *lineEnv) relate(random *rand.Rand, room string) {
	h.T.Helper()
	list := h.History(alice, room)
	if len(list) == 0 {
		return // the process does not know the room yet
	}
	target := list[max(0, len(list)-1-random.IntN(60))].ID
	if random.IntN(5) == 0 {
		_, _ = h.Rooms.Redact(h.T.Context(), roomstest.As(alice, room), target, "")
		return
	}
	relType := []string{event.RelThread, event.RelReplace, event.RelReference}[random.IntN(3)]
	content := fmt.Sprintf(`{"body":"x","m.new_content":{},"m.relates_to":{"rel_type":%q,"event_id":%q}}`, relType, target)
	_, _ = h.Rooms.Send(h.T.Context(), roomstest.As([]string{alice, bob}[random.IntN(2)], room), "m.room.message", json.RawMessage(content))
}

// Whatever is asked of a room, the answer from memory is that of the database, for each user and
// in each process.
func TestReadsFromMemoryAgreeWithTheDatabase(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			forgetful := func() *lineEnv {
				return &lineEnv{env: &env{roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{WindowBytes: 1}}).Run()}}
			}
			processes, sql := []*lineEnv{recentEnv(t, pool, 0), forgetful()}, forgetful()
			random := rand.New(rand.NewPCG(seed, 6))
			list := []string{processes[0].Public(bob, carol), processes[1].Public(bob), processes[0].Create(alice, rooms.CreateRequest{Name: "Cellar"})}
			answered := 0
			for range 10 {
				for range 20 {
					processes[random.IntN(2)].happen(random, list)
					processes[random.IntN(2)].relate(random, list[random.IntN(len(list))])
				}
				end := max(processes[0].Journal.Position(), processes[1].Journal.Position())
				for _, h := range append(processes, sql) {
					h.OK(h.Journal.CatchUp(t.Context(), end))
				}
				for range 20 {
					q := &query{room: list[random.IntN(len(list))], end: end}
					history := sql.History(alice, q.room)
					q.id = history[max(0, len(history)-1-random.IntN(80))].ID
					reader, seed := []string{alice, bob, carol, dave, "@nobody:localhost"}[random.IntN(5)], random.Uint64()
					want := q.ask(sql, sql.Rooms.Timeline.Stored(), reader, seed)
					answered += len(want["messages"])
					for _, h := range processes {
						h.OK(h.Rooms.Timeline.Recall(t.Context(), h.numbers(list)))
						if diff := cmp.Diff(want, q.ask(h, h.Rooms.Timeline, reader, seed)); diff != "" {
							t.Fatalf("%s reads %+v (-SQL +memory):\n%s", reader, q, diff)
						}
					}
				}
			}
			if answered < 500 {
				t.Errorf("there were %d events in all answers", answered)
			}
			for _, h := range processes {
				if stats := h.Rooms.Caches()["recent_rooms"](); stats.Hits < 500 {
					t.Errorf("only %d reads were answered from memory", stats.Hits)
				}
			}
		})
	}
}
