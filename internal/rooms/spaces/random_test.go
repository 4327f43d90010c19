package spaces_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"homeserver/internal/event"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// The pages of a tree fit together, whatever happens between them: they are those of the
// tree as a plain recursion has it at the first page, without rooms that the user may not
// know of by the time of their page.
func TestPagesAreThoseOfAPlainWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 7))
			begin := time.Now()
			h := envOn(t, roomstest.Options{Rooms: func(o *rooms.Options) {
				o.Now = func() time.Time { return begin.Add(time.Duration(random.IntN(4)) * time.Millisecond) } // many at once
			}})
			m := newModel(h, random)
			pages := 0
			for range 12 {
				pages += m.compare()
				m.happen(6)
			}
			if pages < 30 {
				t.Errorf("only %d pages were compared", pages)
			}
		})
	}
}

// model is some rooms as the test has made them.
type model struct {
	*env
	*rand.Rand
	ids   []string // of all rooms; the first is a space that is always public
	rooms map[string]*modelRoom
}

type modelRoom struct {
	space    bool
	rule     string
	allowed  string // the room whose members may join by a restricted rule
	world    bool
	bob      string
	children map[string]modelChild
}

type modelChild struct {
	modelContent
	time int64
}

// modelContent is a content of m.space.child, and what it means.
type modelContent struct {
	json             string
	valid, suggested bool
	order            string // "": none
}

var (
	modelVias = map[string]bool{
		`"via":["localhost"],`: true, `"via":["localhost","a.example"],`: true, `"via":["-"],`: true,
		``: false, `"via":[],`: false, `"via":["localhost",1],`: false, `"via":"localhost",`: false, `"via":null,`: false, `"via":{},`: false,
	}
	modelOrders = map[string]string{
		``: "", `"order":"a",`: "a", `"order":"b",`: "b", `"order":"ab",`: "ab", `"order":" ",`: " ", `"order":"~",`: "~", `"order":"A",`: "A", `"order":"s0n1",`: "s0n1",
		`"order":"` + strings.Repeat("a", 50) + `",`: strings.Repeat("a", 50),
		`"order":"` + strings.Repeat("a", 51) + `",`: "", `"order":"",`: "", `"order":"é",`: "", `"order":1,`: "", `"order":"a\n",`: "", `"order":"a\u0000",`: "", `"order":null,`: "",
	}
	modelSuggestions = map[string]bool{``: false, `"suggested":true,`: true, `"suggested":false,`: false, `"suggested":"true",`: false}
)

// pick returns a key and its value, at random.
func pick[V any](random *rand.Rand, from map[string]V) (string, V) {
	key := slices.Sorted(maps.Keys(from))[random.IntN(len(from))]
	return key, from[key]
}

func newModel(h *env, random *rand.Rand) *model {
	m := &model{env: h, Rand: random, rooms: map[string]*modelRoom{}}
	for i := range 14 {
		r := &modelRoom{space: i < 6, rule: event.JoinRulePublic, bob: event.Leave, children: map[string]modelChild{}}
		q := rooms.CreateRequest{Preset: "public_chat"}
		if r.space {
			q.CreationContent = roomstest.Object{"type": roomstest.Raw("m.space")}
		}
		room := h.Create(alice, q)
		m.ids, m.rooms[room] = append(m.ids, room), r
	}
	m.happen(120)
	return m
}

// happen changes some rooms.
func (m *model) happen(n int) {
	for range n {
		switch m.IntN(6) {
		case 0:
			m.changeRule(m.ids[1+m.IntN(len(m.ids)-1)])
		case 1:
			m.changeBob(m.ids[1+m.IntN(len(m.ids)-1)])
		default:
			m.changeChild(m.ids[m.IntN(7)])
		}
	}
}

func (m *model) changeChild(space string) {
	room := m.ids[m.IntN(len(m.ids))]
	switch m.IntN(12) {
	case 0:
		room = "!elsewhere:example.org"
	case 1:
		room = "nothing"
	}
	c := modelContent{valid: true}
	via := `"via":["localhost"],`
	if m.IntN(3) == 0 {
		via, c.valid = pick(m.Rand, modelVias)
	}
	var order, suggestion string
	order, c.order = pick(m.Rand, modelOrders)
	suggestion, c.suggested = pick(m.Rand, modelSuggestions)
	c.json = `{` + via + order + suggestion + `"x":1}`
	id := m.child(space, room, c.json)
	m.rooms[space].children[room] = modelChild{c, m.Event(alice, space, id).OriginServerTS}
}

func (m *model) changeRule(room string) {
	r := m.rooms[room]
	if m.IntN(4) == 0 {
		r.world = !r.world
		visibility := map[bool]string{true: "world_readable", false: "shared"}[r.world]
		m.SetState(alice, room, event.TypeHistoryVisibility, "", `{"history_visibility":"`+visibility+`"}`)
		return
	}
	r.rule = []string{"public", "public", "invite", "knock", "restricted", "knock_restricted"}[m.IntN(6)]
	r.allowed = m.ids[m.IntN(len(m.ids))]
	m.SetState(alice, room, event.TypeJoinRules, "", `{"join_rule":"`+r.rule+`","allow":[{"type":"m.room_membership","room_id":"`+r.allowed+`"}]}`)
}

func (m *model) changeBob(room string) {
	r, ctx := m.rooms[room], m.T.Context()
	switch {
	case r.bob == event.Ban:
		m.OK(m.Rooms.Unban(ctx, alice, room, bob, ""))
		r.bob = event.Leave
	case r.bob == event.Invite && m.IntN(2) == 0:
		m.Join(bob, room)
		r.bob = event.Join
	case r.bob == event.Leave && m.IntN(2) == 0:
		m.Invite(alice, room, bob)
		r.bob = event.Invite
	case m.IntN(3) == 0:
		m.OK(m.Rooms.Ban(ctx, alice, room, bob, ""))
		r.bob = event.Ban
	}
}

// mayKnow says in the words of the specification whether bob may know of a room now.
func (m *model) mayKnow(room string) bool {
	r := m.rooms[room]
	if r == nil {
		return false
	}
	if r.world || r.bob == event.Join || r.bob == event.Invite {
		return true
	}
	if r.bob == event.Ban {
		return false
	}
	return r.rule == "public" || r.rule == "knock" || r.rule == "knock_restricted" || r.rule == "restricted" && m.rooms[r.allowed].bob == event.Join
}

// listed is a room of a walk with its children.
type listed struct {
	ID       string
	Children []string
}

// walk lists the tree below a room.
func (m *model) walk(root string, depth int, suggested bool) (list []listed) {
	seen := map[string]bool{}
	var visit func(room string, level int)
	visit = func(room string, level int) {
		if seen[room] || !m.mayKnow(room) {
			return
		}
		seen[room] = true
		children := m.sorted(room, suggested)
		list = append(list, listed{room, children})
		if level < depth {
			for _, c := range children {
				visit(c, level+1)
			}
		}
	}
	visit(root, 0)
	return list
}

// sorted lists the children of a room in their order.
func (m *model) sorted(room string, suggested bool) []string {
	r := m.rooms[room]
	children := []string{}
	for id, c := range r.children {
		if r.space && c.valid && strings.HasPrefix(id, "!") && (c.suggested || !suggested) {
			children = append(children, id)
		}
	}
	slices.SortFunc(children, func(a, b string) int {
		left, right := r.children[a], r.children[b]
		if left.order != "" && right.order == "" {
			return -1
		}
		if left.order == "" && right.order != "" {
			return 1
		}
		return cmp.Or(strings.Compare(left.order, right.order), cmp.Compare(left.time, right.time), strings.Compare(a, b))
	})
	return children
}

// compare reads all pages of a tree while the rooms change, and returns how many there
// were.
func (m *model) compare() (pages int) {
	m.T.Helper()
	q := usual(bob, m.ids[0])
	q.Depth, q.Limit, q.Suggested = m.IntN(5), 1+m.IntN(4), m.IntN(4) == 0
	want := m.walk(q.RoomID, q.Depth, q.Suggested)
	for {
		got := []listed{}
		answer := m.page(q)
		for _, r := range answer.Rooms {
			children := []string{}
			for _, c := range r.Children {
				children = append(children, c.StateKey)
			}
			got = append(got, listed{r.RoomID, children})
		}
		now := want[:min(q.Limit, len(want))]
		want = want[len(now):]
		now = slices.DeleteFunc(slices.Clone(now), func(r listed) bool { return !m.mayKnow(r.ID) })
		if diff := gocmp.Diff(now, got); diff != "" && len(now)+len(got) > 0 {
			m.T.Fatalf("%+v: %s", q, diff)
		}
		if (answer.NextBatch != "") != (len(want) > 0) {
			m.T.Fatalf("%+v: next_batch is %q, and %d rooms are left", q, answer.NextBatch, len(want))
		}
		pages++
		if q.From = answer.NextBatch; q.From == "" {
			return pages
		}
		m.happen(m.IntN(4))
	}
}
