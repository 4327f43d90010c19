package timeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// related is a plain model of a room whose events are related to each other.
type related struct {
	*env
	r          *rand.Rand
	room       string
	shared     bool // visible to members of now, too
	events     []*said
	membership map[string][]stay
}

// stay is a time that a user was in the room, in events.
type stay struct{ from, to int }

// said is an event of the model.
type said struct {
	id, sender, typ  string
	isState          bool
	relType, target  string
	newContent, gone bool
	ts               int64
	at               int
}

const forever = 1 << 30

func (m *related) isIn(user string) bool {
	stays := m.membership[user]
	return len(stays) > 0 && stays[len(stays)-1].to == forever
}

// sees reports whether a user may see an event: those who were there, and of shared history
// also who came later.
func (m *related) sees(user string, at int) bool {
	return slices.ContainsFunc(m.membership[user], func(s stay) bool { return at <= s.to && (s.from <= at || m.shared) })
}

// act does something at random.
func (m *related) act() {
	user := []string{alice, bob, carol}[m.r.IntN(3)]
	switch n := m.r.IntN(20); {
	case n == 0 && user != alice && m.isIn(user):
		m.Leave(user, m.room)
		m.membership[user][len(m.membership[user])-1].to = len(m.events)
	case !m.isIn(user):
		m.Join(user, m.room)
		m.membership[user] = append(m.membership[user], stay{len(m.events) + 1, forever})
	case n < 4 && len(m.events) > 0:
		if e := m.any(); !e.gone && m.sees(user, e.at) && (e.sender == user || user == alice) {
			m.Redact(user, m.room, e.id, "")
			e.gone = true
		}
	default:
		m.say(user)
	}
}

func (m *related) any() *said { return m.events[m.r.IntN(len(m.events))] }

// say sends an event, which most often is related to another.
func (m *related) say(user string) {
	types := []string{"m.room.message", "m.room.message", "m.room.message", event.TypeEncrypted, "m.sticker"}
	e := &said{sender: user, typ: types[m.r.IntN(len(types))], ts: int64(m.r.IntN(5)) + 1000, at: len(m.events) + 1}
	content := map[string]any{"body": "x"}
	if len(m.events) > 0 && m.r.IntN(5) > 0 {
		relTypes := []string{event.RelThread, event.RelThread, event.RelReplace, event.RelReplace, event.RelReference, event.RelAnnotation, "x"}
		e.relType, e.target = relTypes[m.r.IntN(len(relTypes))], m.any().id
		if len(m.events) > 9 && m.r.IntN(2) == 0 {
			e.target = m.events[m.r.IntN(3)].id // some are popular
		}
		content["m.relates_to"] = map[string]any{"rel_type": e.relType, "event_id": e.target, "key": "k"}
	}
	if e.newContent = m.r.IntN(3) > 0; e.newContent {
		content["m.new_content"] = map[string]any{}
	}
	if user == alice && m.r.IntN(10) == 0 {
		e.isState = true
		e.id = m.SetState(user, m.room, "org.example.state", fmt.Sprint(e.at), string(roomstest.Raw(content)))
		e.typ, e.ts = "org.example.state", m.Event(alice, m.room, e.id).OriginServerTS
	} else {
		q := roomstest.As(user, m.room)
		q.Timestamp = &e.ts
		var err error
		e.id, err = m.Rooms.Send(m.T.Context(), q, e.typ, roomstest.Raw(content))
		if matrix.IsCode(err, matrix.DuplicateAnnotation) || matrix.IsCode(err, matrix.Unknown) {
			return
		}
		m.OK(err)
	}
	m.events = append(m.events, e)
}

// children returns what a reader sees of the events that are related to one.
func (m *related) children(reader string, ignored []string, id string) (list []*said) {
	for _, e := range m.events {
		if e.target == id && !e.gone && m.sees(reader, e.at) && !slices.Contains(ignored, e.sender) {
			list = append(list, e)
		}
	}
	return list
}

func (e *said) isEditOf(other *said) bool {
	valid := !e.isState && (e.newContent || e.typ == event.TypeEncrypted)
	return valid && e.sender == other.sender && e.typ == other.typ && other.relType != event.RelReplace && !other.gone
}

func (e *said) isLaterThan(other *said) bool {
	return other == nil || e.ts > other.ts || e.ts == other.ts && e.id > other.id
}

// bundle returns what is to be bundled with an event.
func (m *related) bundle(reader string, ignored []string, e *said) map[string]any {
	all := map[string]any{}
	if e.isState {
		return all
	}
	var edit *said
	var references []any
	var replies []*said
	participated := e.sender == reader
	for _, c := range m.children(reader, ignored, e.id) {
		switch c.relType {
		case event.RelReference:
			references = append(references, map[string]any{"event_id": c.id})
		case event.RelReplace:
			if c.isEditOf(e) && c.isLaterThan(edit) {
				edit = c
			}
		case event.RelThread:
			replies = append(replies, c)
			participated = participated || c.sender == reader
		}
	}
	if edit != nil {
		all[event.RelReplace] = edit.id
	}
	if references != nil {
		all[event.RelReference] = map[string]any{"chunk": references}
	}
	if n := len(replies); n > 0 && e.relType == "" {
		latest := replies[n-1]
		all[event.RelThread] = map[string]any{
			"count": float64(n), "current_user_participated": participated, "latest_event": latest.id,
			"with it": m.bundle(reader, ignored, latest),
		}
	}
	return all
}

// descendants returns what is related to an event, also by others, up to a depth.
func (m *related) descendants(reader string, ignored []string, id string, depth int) (list []*said) {
	if depth == 0 {
		return nil
	}
	for _, c := range m.children(reader, nil, id) {
		if slices.Contains(ignored, c.sender) && !c.isState {
			continue
		}
		list = append(append(list, c), m.descendants(reader, ignored, c.id, depth-1)...)
	}
	return list
}

// bundled returns what is bundled with an event as it is written, by IDs.
func bundled(t *testing.T, written []byte) map[string]any {
	t.Helper()
	var e struct {
		Unsigned struct {
			Relations map[string]json.RawMessage `json:"m.relations"`
		} `json:"unsigned"`
	}
	if err := json.Unmarshal(written, &e); err != nil {
		t.Fatalf("%v in %s", err, written)
	}
	all := map[string]any{}
	for relType, raw := range e.Unsigned.Relations {
		var of map[string]json.RawMessage
		var whole map[string]any
		if json.Unmarshal(raw, &of) != nil || json.Unmarshal(raw, &whole) != nil {
			t.Fatalf("%s", raw)
		}
		switch relType {
		case event.RelReplace:
			all[relType] = whole["event_id"]
			continue
		case event.RelThread:
			whole["latest_event"] = whole["latest_event"].(map[string]any)["event_id"]
			whole["with it"] = bundled(t, of["latest_event"])
		}
		all[relType] = whole
	}
	return all
}

// check compares what a process bundles for a reader with the model.
func (m *related) check(t *testing.T, process *env, name, reader string, ignored []string) {
	t.Helper()
	store, ctx := process.Rooms.Timeline, t.Context()
	page, err := store.For(reader).Messages(ctx, m.room, timeline.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	now := timeline.PlaceOf(process.Journal.Position())
	aggregations, err := store.For(reader).Aggregations(ctx, ignored, timeline.Aggregated{Access: page.Access, UpTo: now, Events: page.Events})
	if err != nil {
		t.Fatal(err)
	}
	f := &timeline.Format{UserID: reader, Access: page.Access, Aggregations: aggregations}
	shown := map[string][]byte{}
	for _, e := range page.Events {
		shown[e.ID] = f.AppendJSON(nil, e)
	}
	for _, e := range m.events {
		written, ok := shown[e.id]
		if ok != m.sees(reader, e.at) {
			t.Fatalf("%s: %s sees event %d: %v", name, reader, e.at, ok)
		}
		if !ok {
			continue
		}
		if diff := cmp.Diff(m.bundle(reader, ignored, e), bundled(t, written)); diff != "" {
			t.Errorf("%s, %s without %v, event %d: %s", name, reader, ignored, e.at, diff)
		}
	}
}

// checkRelations compares what is related to some events with the model.
func (m *related) checkRelations(t *testing.T, reader string, ignored []string) {
	t.Helper()
	for range 8 {
		e := m.any()
		if !m.sees(reader, e.at) {
			continue
		}
		for depth := 1; depth <= timeline.RecursionDepth; depth += timeline.RecursionDepth - 1 {
			want := m.descendants(reader, ignored, e.id, depth)
			slices.SortFunc(want, func(a, b *said) int { return a.at - b.at })
			p := timeline.RelationsPage{Page: timeline.Page{Limit: 1000}, Recurse: depth > 1}
			p.Filter = p.Filter.WithoutMessagesOf(ignored)
			got, err := m.Rooms.Timeline.For(reader).Relations(t.Context(), m.room, e.id, p)
			if err != nil {
				t.Fatal(err)
			}
			ids := []string{}
			for _, c := range want {
				ids = append(ids, c.id)
			}
			matrixtest.Equal(t, fmt.Sprint("related to event ", e.at, " for ", reader), roomstest.IDs(got.Events), ids)
		}
	}
}

// What is bundled is the same from the window of the process that has written it, from that of
// another, and from the tables; and it is what a plain model says.
func TestRandomRelations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newEnv(t)
			other := envOn(t, h.Pool)
			m := &related{env: h, r: rand.New(rand.NewPCG(seed, 1)), shared: seed%2 == 0, membership: map[string][]stay{}}
			m.room = h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
			if !m.shared {
				h.SetState(alice, m.room, event.TypeHistoryVisibility, "", `{"history_visibility":"joined"}`)
			}
			m.membership[alice] = []stay{{0, forever}}
			for range 150 {
				m.act()
			}
			for _, user := range []string{bob, carol} { // so that everybody sees something
				if !m.isIn(user) {
					h.Join(user, m.room)
					m.membership[user] = append(m.membership[user], stay{len(m.events) + 1, forever})
				}
			}
			h.OK(other.Journal.CatchUp(t.Context(), h.Journal.Position()))
			tables := &env{roomstest.Open(t, roomstest.Options{Pool: h.Pool, Journal: journal.Options{WindowBytes: 1}}).Run()}
			for _, reader := range []string{alice, bob, carol} {
				for _, ignored := range [][]string{nil, {alice}, {bob, carol}} {
					m.checkRelations(t, reader, ignored)
					m.check(t, h, "by the writer", reader, ignored)
					m.check(t, other, "by another process", reader, ignored)
					m.check(t, tables, "by the tables", reader, ignored)
				}
			}
		})
	}
}
