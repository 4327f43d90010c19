package syncstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// await starts a request that would wait for long, and returns when it waits. The function returns
// the answer, which must come then.
func (s *slider) await() (waits *waiting, get func() *slid) {
	s.h.T.Helper()
	ctx, cancel := context.WithCancel(s.h.T.Context())
	w := &waiting{t: s.h.T, cancel: cancel, waits: make(chan struct{}, 1000), done: make(chan struct{})}
	q := s.SlidingQuery
	q.Timeout = 10 * patience
	var a *syncstream.SlidingAnswer
	go func() {
		defer close(w.done)
		a, w.err = s.h.SlidingSync(&waitContext{ctx, w.waits}, q)
	}()
	s.h.T.Cleanup(func() { cancel(); <-w.done })
	w.waitsAgain()
	return w, func() *slid {
		s.h.T.Helper()
		w.end()
		s.h.OK(w.err)
		s.Pos = a.Pos
		parsed := &slid{raw: written(s.h.T, a)}
		s.h.OK(json.Unmarshal(parsed.raw, parsed))
		return parsed
	}
}

func (r *slidRoom) timeline() []string {
	if r == nil {
		return []string{}
	}
	return words(r.Timeline)
}

// A request goes on waiting over what happens in rooms that its lists do not choose, which come
// later without a gap.
func TestSlidingSyncWaitsOverOtherRooms(t *testing.T) {
	h := newEnv(t)
	direct, other := h.Public(bob), h.Public(bob)
	h.store(alice, "", "m.direct", fmt.Sprintf(`{%q:[%q]}`, bob, direct))
	const body = `{"lists":{"all":{"timeline_limit":5,"required_state":[],"ranges":[[0,9]],"filters":{"is_dm":%v}}}}`
	s := h.sliding(alice, allOf)
	s.sync()
	h.OK(json.Unmarshal(fmt.Appendf(nil, body, true), &s.SlidingRequest))
	s.sync() // at once, as it asks for something else
	waits, get := s.await()
	h.say(bob, other, "1")
	waits.waitsAgain()
	h.say(bob, direct, "here")
	a := get()
	equal(t, "in the list", a.Rooms[direct].timeline(), "here")
	equal(t, "not in the list", a.Rooms[other].timeline())
	h.say(bob, other, "2")
	h.OK(json.Unmarshal(fmt.Appendf(nil, body, false), &s.SlidingRequest))
	r := s.sync().Rooms[other]
	equal(t, "what came meanwhile", r.timeline(), "1", "2")
	if r.Limited || r.Initial {
		t.Error("there is a gap")
	}
}

// Messages and invites of ignored users are not shown, and rooms with them alone stay as they are.
func TestSlidingSyncOfIgnoredUsers(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	s := h.sliding(alice, allOf)
	h.ignore(alice, bob)
	s.sync()
	h.say(bob, room, "hidden")
	equal(t, "hidden", s.sync().Rooms[room].timeline())
	invite := h.Create(bob, rooms.CreateRequest{})
	h.Invite(bob, invite, alice)
	if a := s.sync(); a.Rooms[invite] != nil {
		t.Errorf("an invite by somebody who is ignored: %s", a.raw)
	}
	h.say(carol, room, "shown")
	equal(t, "shown", s.sync().Rooms[room].timeline(), "shown")
}

// A room of which a client has all events is not sent anew where it asks for more.
func TestSlidingSyncExpandsOnlyWhatIsMissing(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.say(bob, room, "1", "2", "3")
	s := h.sliding(alice, allOf)
	s.list(func(l *syncstream.SlidingList) { l.TimelineLimit = 1 })
	equal(t, "first", s.sync().Rooms[room].timeline(), "3")
	for _, step := range []struct {
		limit int
		say   string
		want  []string
	}{
		{2, "", []string{"2", "3"}}, {1, "4", []string{"4"}}, {2, "", nil}, {3, "5", []string{"3", "4", "5"}}, {1, "6", []string{"6"}}, {3, "", nil},
	} {
		s.list(func(l *syncstream.SlidingList) { l.TimelineLimit = step.limit })
		if step.say != "" {
			h.say(bob, room, step.say)
		}
		r := s.sync().Rooms[room]
		equal(t, fmt.Sprint("with a limit of ", step.limit), r.timeline(), append([]string{}, step.want...)...)
		if expanded := r != nil && r.Expanded; expanded != (len(step.want) > 1) {
			t.Errorf("with a limit of %d, expanded is %v", step.limit, expanded)
		}
	}
}
