package timeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

var (
	allVisibilities = []string{"world_readable", "shared", "invited", "joined", "org.example", ""}
	allMemberships  = []string{"join", "invite", "leave", "ban", "knock"}
)

// story is what happened in a room, event by event: "v:" and a history
// visibility, "m:" and the reader's membership, or "" for anything else. With a capital
// letter the state is resolved so, for any event. The first event has place 1.
type story []string

func (s story) changes() (visibilities, memberships timeline.Changes) {
	for i, what := range s {
		kind, value, _ := strings.Cut(what, ":")
		change := timeline.Change{From: timeline.Place(i + 1), Value: value, Resolved: s.isResolved(i)}
		switch kind {
		case "v", "V":
			visibilities = append(visibilities, change)
		case "m", "M":
			memberships = append(memberships, change)
		}
	}
	return visibilities, memberships
}

func (s story) isResolved(event int) bool {
	return strings.HasPrefix(s[event], "V") || strings.HasPrefix(s[event], "M")
}

// at returns the visibility and the membership after the first n events.
func (s story) at(n int) (visibility, membership string) {
	visibility, membership = "shared", "leave"
	for _, what := range s[:n] {
		switch kind, value, _ := strings.Cut(what, ":"); kind {
		case "v", "V":
			visibility = value
		case "m", "M":
			membership = value
		}
	}
	return visibility, membership
}

// allows is the rule of the specification for one state of the room, word by
// word: client-server API, "Room history visibility", Server behaviour.
func (s story) allows(visibility, membership string, event int) bool {
	if visibility == "world_readable" {
		return true
	}
	if membership == "join" {
		return true
	}
	if known := slices.Contains([]string{"invited", "joined"}, visibility); visibility == "shared" || !known {
		if slices.Contains(s[event:], "m:join") || slices.Contains(s[event:], "M:join") {
			return true
		}
	}
	return membership == "invite" && visibility == "invited"
}

// sees evaluates the rule for the event with an index.
func (s story) sees(event int) bool {
	visibility, membership := s.at(event + 1)
	wasVisible, wasMember := s.at(event)
	if s.isResolved(event) {
		return s.allows(visibility, membership, event) && s.allows(wasVisible, wasMember, event)
	}
	if s.allows(visibility, membership, event) {
		return true
	}
	switch {
	case strings.HasPrefix(s[event], "v:"):
		return s.allows(wasVisible, membership, event)
	case strings.HasPrefix(s[event], "m:"):
		return true // more than the rule allows: users always see their own membership
	}
	return s.allows(wasVisible, wasMember, event) && visibility == wasVisible && membership == wasMember
}

func checkAccess(t *testing.T, s story) bool {
	t.Helper()
	access := timeline.NewAccess(s.changes())
	seesAny := false
	for i := range s {
		p := timeline.Place(i + 1)
		if got, want := access.Sees(p), s.sees(i); got != want {
			t.Errorf("%q: event %d is seen: %v, want %v", []string(s), p, got, want)
			return false
		}
		if !strings.HasPrefix(s[i], "m:") {
			seesAny = seesAny || s.sees(i)
		}
		if _, want := s.at(i + 1); access.MembershipAt(p) != want {
			t.Errorf("%q: membership at %d is %q", []string(s), p, access.MembershipAt(p))
			return false
		}
	}
	if seesAny && !access.SeesAny() {
		t.Errorf("%q: SeesAny is false", []string(s))
	}
	return !t.Failed()
}

func TestAccessAgreesWithTheRuleForAllShortStories(t *testing.T) {
	t.Parallel()
	var happenings []string
	for _, v := range allVisibilities {
		happenings = append(happenings, "v:"+v)
	}
	for _, m := range allMemberships {
		happenings = append(happenings, "m:"+m)
	}
	// Between any two changes something else happens, which is what matters.
	const changes = 4
	s := make(story, 2*changes+1)
	var tell func(n int) bool
	tell = func(n int) bool {
		if n == changes {
			return checkAccess(t, s)
		}
		for _, what := range happenings {
			s[2*n+1] = what
			if !tell(n + 1) {
				return false
			}
		}
		return true
	}
	tell(0)
}

func TestAccessAgreesWithTheRuleForLongStories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		s := make(story, 1+random.IntN(40))
		for i := range s {
			switch random.IntN(4) {
			case 0:
				s[i] = []string{"v:", "v:", "V:"}[random.IntN(3)] + allVisibilities[random.IntN(len(allVisibilities))]
			case 1:
				s[i] = []string{"m:", "m:", "M:"}[random.IntN(3)] + allMemberships[random.IntN(len(allMemberships))]
			}
		}
		if !checkAccess(t, s) || !checkRanges(t, s) {
			return
		}
	}
}

// checkRanges compares the access to ranges with the access to their places.
func checkRanges(t *testing.T, s story) bool {
	t.Helper()
	access := timeline.NewAccess(s.changes())
	end := timeline.Place(len(s))
	for after := timeline.Place(0); after <= end; after++ {
		for upTo := after; upTo <= end; upTo++ {
			inside := map[timeline.Place]bool{}
			for _, r := range access.Ranges(after, upTo) {
				for p := r.From; p <= r.To; p++ {
					inside[p] = true
				}
			}
			all := true
			for p := after + 1; p <= upTo; p++ {
				all = all && access.Sees(p)
				if inside[p] != access.Sees(p) {
					t.Errorf("%q: the ranges in (%d, %d] are wrong at %d", []string(s), after, upTo, p)
					return false
				}
			}
			if len(inside) > int(upTo-after) || access.SeesAll(after, upTo) && !all {
				t.Errorf("%q: (%d, %d] is said to be seen whole", []string(s), after, upTo)
				return false
			}
		}
	}
	return true
}

func TestStrangerSeesNothing(t *testing.T) {
	t.Parallel()
	access := timeline.NewAccess(nil, nil)
	if access.SeesAny() || access.Sees(1) || access.SeesAll(0, 1) || !access.SeesAll(1, 1) {
		t.Error("a stranger sees something")
	}
	if membership, since := access.Membership(); membership != "leave" || since != 0 {
		t.Errorf("a stranger has %s since %d", membership, since)
	}
}

// act plays a story of bob's in a room of alice's, with a message after each change, and
// returns the messages that bob must see.
func (h *env) actOut(room string, changes []string) (want []string) {
	h.T.Helper()
	told := h.tale(room)
	say := func() {
		body := fmt.Sprint("after ", len(told))
		h.Send(alice, room, body)
		told = append(told, "say:"+body)
	}
	say()
	for _, change := range changes {
		if v, ok := strings.CutPrefix(change, "v:"); ok {
			h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"`+v+`"}`)
		} else {
			h.change(room, change)
			change = "m:" + h.Membership(room, bob)
		}
		told = append(told, change)
		say()
	}
	want = []string{}
	for i, what := range told {
		if body, ok := strings.CutPrefix(what, "say:"); ok && told.sees(i) {
			want = append(want, body)
		}
	}
	return want
}

// change changes the membership of bob in a room of alice's.
func (h *env) change(room, change string) {
	h.T.Helper()
	ctx := h.T.Context()
	h.OK(map[string]func() error{
		"join":   func() error { return h.Rooms.Join(ctx, bob, room, "") },
		"leave":  func() error { return h.Rooms.Leave(ctx, bob, room, "") },
		"invite": func() error { return h.Rooms.Invite(ctx, alice, room, bob, "") },
		"kick":   func() error { return h.Rooms.Kick(ctx, alice, room, bob, "") },
		"ban":    func() error { return h.Rooms.Ban(ctx, alice, room, bob, "") },
		"unban":  func() error { return h.Rooms.Unban(ctx, alice, room, bob, "") },
	}[change]())
}

// tale returns the story of a new room.
func (h *env) tale(room string) story {
	var told story
	for _, e := range h.History(alice, room) {
		what := ""
		if e.Type == "m.room.history_visibility" {
			what = "v:shared"
		}
		told = append(told, what)
	}
	return told
}

func TestHistoryOfEachVisibilityAndMembership(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	memberships := [][]string{
		{},
		{"invite"},
		{"join"},
		{"invite", "join"},
		{"invite", "leave"},
		{"invite", "join", "leave"},
		{"join", "leave", "join"},
		{"join", "kick", "invite", "join"},
		{"join", "ban", "unban", "join"},
		{"join", "ban"},
	}
	for _, visibility := range []string{"world_readable", "shared", "invited", "joined"} {
		for _, m := range memberships {
			room := h.Public()
			want := h.actOut(room, append([]string{"v:" + visibility}, m...))
			h.checkBodies(room, fmt.Sprintf("%s %q", visibility, m), want)
		}
	}
}

// checkBodies compares the messages that bob reads with those that bob must see.
func (h *env) checkBodies(room, what string, want []string) {
	h.T.Helper()
	st, err := h.Rooms.Timeline.For(bob).Messages(h.T.Context(), room, timeline.Page{Limit: 100})
	if len(want) == 0 && matrix.IsCode(err, matrix.Forbidden) {
		return
	}
	if err != nil {
		h.T.Errorf("%s: %v", what, err)
		return
	}
	got := []string{}
	for _, e := range st.Events {
		if e.Type == "m.room.message" {
			body := roomstest.Object{}
			h.OK(json.Unmarshal(e.Content(), &body))
			got = append(got, strings.Trim(string(body["body"]), `"`))
		}
	}
	matrixtest.Equal(h.T, what, got, want)
}

func TestHistoryWhereTheVisibilityChanges(t *testing.T) {
	h := newEnv(t)
	for _, changes := range [][]string{
		{"v:joined", "join", "v:shared", "leave", "v:world_readable", "v:joined"},
		{"v:world_readable", "v:joined", "v:shared"},
		{"v:invited", "invite", "v:joined", "v:invited", "leave"},
		{"join", "leave", "v:joined", "join"},
		{"v:joined", "v:shared", "v:joined", "join", "leave", "v:shared"},
		{"v:org.example", "join"},
	} {
		room := h.Public()
		h.checkBodies(room, fmt.Sprint(changes), h.actOut(room, changes))
	}
}
