package syncstream_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/syncstream"
)

// What a client of sliding sync ends up knowing is what a client of /sync knows, whatever ranges,
// limits and subscriptions it had meanwhile, in whichever process, and after restarts.
func TestSlidingSyncAgreesWithSync(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		pool := postgrestest.New(t)
		start := func(window int) *env {
			return envOn(t, pool, journal.Options{WindowBytes: window, Watch: time.Hour})
		}
		one, other := start(0), start(20_000)
		y := one.history(seed)
		y.others, y.fixed = []*env{other}, true
		pairs := []*pairOfClients{}
		for _, user := range everybody {
			pairs = append(pairs, newPairOfClients(one, user))
		}
		for round := range 8 {
			for range 6 {
				y.happen(6)
				p := pairs[y.IntN(len(pairs))]
				p.sliding.h = []*env{one, other}[y.IntN(2)]
				p.glance(y)
			}
			if round == 4 {
				other = start(1)
				y.others = []*env{other}
			}
			one.catchUp()
			other.catchUp()
			for _, p := range pairs {
				p.sliding.h = []*env{one, other}[y.IntN(2)]
				p.compare(t)
			}
		}
	})
}

// pairOfClients are two clients of a user, with what each knows.
type pairOfClients struct {
	sliding           *slider
	classic           *client
	bySliding, bySync map[string]*knowledge
	globalA, globalB  map[string]string
}

// knowledge is what a client knows of a room that its user is in or is invited to.
type knowledge struct {
	Membership      string
	State           map[string]string // event IDs by types and state keys
	Joined, Invited int
	Unread          [2]int
	Data            map[string]string
	Receipts        map[string]string
	timeline        []string
}

func newPairOfClients(h *env, user string) *pairOfClients {
	p := &pairOfClients{
		sliding: h.sliding(user, allOf), classic: h.client(user, `{"room":{"timeline":{"limit":20}}}`),
		bySliding: map[string]*knowledge{}, bySync: map[string]*knowledge{}, globalA: map[string]string{}, globalB: map[string]string{},
	}
	p.classic.UseStateAfter = true
	return p
}

// glance asks by sliding sync once, for some of the rooms.
func (p *pairOfClients) glance(y *history) {
	p.sliding.list(func(l *syncstream.SlidingList) {
		l.Ranges = [][]int{{0, y.IntN(3)}}
		l.TimelineLimit = []int{1, 3, 10}[y.IntN(3)]
	})
	p.sliding.Subscriptions = nil
	if y.IntN(3) == 0 {
		config := syncstream.RoomConfig{TimelineLimit: 4, RequiredState: [][]string{{"*", "*"}}}
		p.sliding.Subscriptions = map[string]syncstream.RoomConfig{y.pick(y.rooms...): config}
	}
	pos := p.sliding.Pos
	a := p.sliding.sync()
	if y.IntN(4) == 0 { // the answer got lost
		p.sliding.Pos = pos
		a = p.sliding.sync()
	}
	p.apply(a)
}

// compare has both clients catch up, and compares what they know.
func (p *pairOfClients) compare(t *testing.T) {
	t.Helper()
	p.sliding.list(func(l *syncstream.SlidingList) { l.Ranges, l.TimelineLimit = [][]int{{0, 99}}, 5 })
	p.sliding.Subscriptions = nil
	p.apply(p.sliding.sync())
	if again := p.sliding.sync(); len(again.Rooms) > 0 {
		t.Errorf("there is more where nothing has happened: %s", again.raw)
	}
	p.applySync(p.classic.sync())
	if diff := cmp.Diff(p.bySync, p.bySliding, cmp.FilterPath(func(path cmp.Path) bool {
		return path.Last().String() == ".timeline"
	}, cmp.Ignore())); diff != "" {
		t.Fatalf("%s knows by sliding sync (+) and by /sync (-):\n%s", p.sliding.UserID, diff)
	}
	if diff := cmp.Diff(p.globalB, p.globalA); diff != "" {
		t.Fatalf("account data of %s by sliding sync (+) and by /sync (-):\n%s", p.sliding.UserID, diff)
	}
	for id, a := range p.bySliding {
		b := p.bySync[id]
		n := min(len(a.timeline), len(b.timeline))
		if a, b := a.timeline[len(a.timeline)-n:], b.timeline[len(b.timeline)-n:]; !slices.Equal(a, b) {
			t.Fatalf("the timeline of %s ends in %v by sliding sync, and in %v by /sync", id, a, b)
		}
	}
}

func at(rooms map[string]*knowledge, id string, anew bool) *knowledge {
	if rooms[id] == nil || anew {
		rooms[id] = &knowledge{State: map[string]string{}, Data: map[string]string{}, Receipts: map[string]string{}}
	}
	return rooms[id]
}

// apply is what a client does with an answer of sliding sync.
func (p *pairOfClients) apply(a *slid) {
	t := p.sliding.h.T
	for id, r := range a.Rooms {
		if r.Membership != "join" && r.Membership != "invite" && r.Membership != "knock" {
			delete(p.bySliding, id)
			continue
		}
		k := at(p.bySliding, id, r.Initial)
		k.Membership = r.Membership
		if r.Membership != "join" {
			continue
		}
		for _, e := range r.RequiredState {
			k.State[e.Type+" "+*e.StateKey] = e.EventID
		}
		if r.Initial || r.Limited || r.Expanded {
			k.timeline = nil
		}
		for _, e := range r.Timeline {
			if slices.Contains(k.timeline, e.EventID) {
				t.Errorf("event %s is there twice", e.EventID)
			}
			k.timeline = append(k.timeline, e.EventID)
		}
		for from, to := range map[*int]*int{r.JoinedCount: &k.Joined, r.InvitedCount: &k.Invited, r.Notifications: &k.Unread[0], r.Highlights: &k.Unread[1]} {
			if from != nil {
				*to = *from
			}
		}
	}
	note(p.globalA, a.Extensions.AccountData.Global)
	for id, list := range a.Extensions.AccountData.Rooms {
		if k := p.bySliding[id]; k != nil {
			note(k.Data, list)
		}
	}
	for id, e := range a.Extensions.Receipts.Rooms {
		if k := p.bySliding[id]; k != nil {
			k.read(e)
		}
	}
}

// applySync is what a client does with an answer of /sync.
func (p *pairOfClients) applySync(a *answer) {
	note(p.globalB, a.AccountData.Events)
	for id := range a.Rooms.Leave {
		delete(p.bySync, id)
	}
	for id := range a.Rooms.Invite {
		at(p.bySync, id, true).Membership = "invite"
	}
	for id := range a.Rooms.Knock {
		at(p.bySync, id, true).Membership = "knock"
	}
	for id, r := range a.Rooms.Join {
		k := at(p.bySync, id, p.bySync[id] != nil && p.bySync[id].Membership != "join")
		k.Membership = "join"
		for _, e := range r.StateAfter.Events {
			k.State[e.Type+" "+*e.StateKey] = e.EventID
		}
		if r.Timeline.Limited {
			k.timeline = nil
		}
		for _, e := range r.Timeline.Events {
			k.timeline = append(k.timeline, e.EventID)
		}
		if r.Summary != nil {
			k.Joined, k.Invited = r.Summary.Joined, r.Summary.Invited
		}
		if r.Unread != nil {
			k.Unread = [2]int{r.Unread.Notifications, r.Unread.Highlights}
		}
		note(k.Data, r.AccountData.Events)
		for _, e := range r.Ephemeral.Events {
			if e.Type == "m.receipt" {
				k.read(e)
			}
		}
	}
}

func note(data map[string]string, events []*ev) {
	for _, e := range events {
		text, _ := json.Marshal(e.Content)
		data[e.Type] = string(text)
	}
}

// read notes the receipts for a room as a whole.
func (k *knowledge) read(e *ev) {
	for eventID, types := range e.Content {
		for typ, users := range types.(map[string]any) {
			for user, receipt := range users.(map[string]any) {
				if receipt.(map[string]any)["thread_id"] == nil {
					k.Receipts[typ+" "+user] = eventID
				}
			}
		}
	}
}
