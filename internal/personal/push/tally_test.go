package push

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// at is a step of an event at a place.
func at(p timeline.Place, does effect, thread string) step {
	id := fmt.Sprintf("$%d", p)
	return step{event: &timeline.Event{Event: &event.Event{ID: id, Redacts: "$2"}, Place: p}, effect: does, thread: thread}
}

// left lists the places of what is in a tally.
func (t *tally) left() []timeline.Place {
	list := []timeline.Place{}
	for _, i := range t.items {
		list = append(list, i.at)
	}
	return list
}

func TestTallyTakesSteps(t *testing.T) {
	t.Parallel()
	begin := []step{at(1, notify, ""), at(2, notify, "$t"), at(3, notify, ""), at(4, notify, "$u")}
	for _, test := range []struct {
		name string
		step step
		want []timeline.Place
	}{
		{"a notification", at(5, notify, ""), []timeline.Place{1, 2, 3, 4, 5}},
		{"one's word in the main timeline", at(5, read, ""), []timeline.Place{2, 4}},
		{"in a thread", at(5, read, "$t"), []timeline.Place{1, 3, 4}},
		{"in another thread", at(5, read, "$v"), []timeline.Place{1, 2, 3, 4}},
		{"a redaction", at(5, redact, ""), []timeline.Place{1, 3, 4}},
		{"one's own membership", at(5, restart, ""), []timeline.Place{}},
		{"something known", at(4, restart, ""), []timeline.Place{1, 2, 3, 4}},
	} {
		tally := &tally{}
		tally.take(begin, 4)
		tally.take([]step{test.step}, 9)
		if got := tally.left(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		if tally.upTo != 9 {
			t.Errorf("%s: at %d", test.name, tally.upTo)
		}
		tally.take(nil, 3)
		if tally.upTo != 9 {
			t.Errorf("%s: moved back to %d", test.name, tally.upTo)
		}
	}
}

func TestTallyKeepsTheNewest(t *testing.T) {
	t.Parallel()
	var steps []step
	for i := range MaxUnread + 3 {
		steps = append(steps, at(timeline.Place(i+1), notify, ""))
	}
	tally := &tally{}
	tally.take(steps, MaxUnread+3)
	if len(tally.items) != MaxUnread || tally.items[0].at != 4 {
		t.Errorf("%d items from %d on", len(tally.items), tally.items[0].at)
	}
}

func TestReadMarks(t *testing.T) {
	t.Parallel()
	m := timeline.ReadMarks{Unthreaded: 5, Main: 7, Threads: map[string]timeline.Place{"$old": 3, "$new": 9}}
	for thread, want := range map[string]timeline.Place{"": 7, "$old": 5, "$new": 9, "$none": 5} {
		if got := m.UpTo(thread); got != want {
			t.Errorf("%q is read up to %d, want %d", thread, got, want)
		}
	}
	if got := (&timeline.ReadMarks{}).UpTo("$t"); got != 0 {
		t.Errorf("without receipts up to %d", got)
	}
}

// settled settles a tally and returns the items that are left.
func (ts *tallies) settled(key tallyKey, t *tally, steps []step, upTo timeline.Place, m timeline.ReadMarks) (left []item) {
	ts.settle(key, t, progress{steps: steps, upTo: upTo, marks: m}, func(items []item) { left = slices.Clone(items) })
	return left
}

func TestTalliesAreFoundByTheirBasis(t *testing.T) {
	t.Parallel()
	ts := newTallies(0)
	key := tallyKey{alice, 1}
	b := newBasis(3, map[string]bool{bob: true})
	kept := &tally{basis: b}
	if left := ts.settled(key, kept, []step{at(1, notify, ""), at(2, notify, "")}, 2, timeline.ReadMarks{Unthreaded: 1}); len(left) != 1 || left[0].at != 2 {
		t.Errorf("left: %v", left)
	}
	if left := ts.settled(key, kept, nil, 1, timeline.ReadMarks{}); len(left) != 0 {
		t.Errorf("left up to before: %v", left)
	}
	same := newBasis(3, map[string]bool{bob: true})
	if got, p := ts.find(key, &same, time.Time{}); got != kept || p != 2 {
		t.Errorf("got %v at %d", got, p)
	}
	for _, other := range []basis{newBasis(4, map[string]bool{bob: true}), newBasis(3, nil), newBasis(3, map[string]bool{carol: true}), newBasis(3, map[string]bool{bob: true, carol: true})} {
		if got, _ := ts.find(key, &other, time.Time{}); got != nil {
			t.Errorf("a tally of another basis was found: %v", other)
		}
	}
	for _, other := range []tallyKey{{bob, 1}, {alice, 2}} {
		if got, _ := ts.find(other, &b, time.Time{}); got != nil {
			t.Errorf("somebody else's tally was found: %v", other)
		}
	}
}

func TestTalliesKnowWhatTheyWeigh(t *testing.T) {
	t.Parallel()
	const share, users = 4 << 20, 100 // of about 100 KB
	ts := newTallies(share)
	var steps []step
	for i := range MaxUnread {
		steps = append(steps, at(timeline.Place(i+1), notify, ""))
	}
	for i := range users {
		key := tallyKey{user: fmt.Sprint(i)}
		ts.settled(key, &tally{}, steps, MaxUnread, timeline.ReadMarks{})
		ts.settled(key, &tally{}, steps, MaxUnread, timeline.ReadMarks{}) // in place of the first
	}
	if got := ts.stats(); got.Bytes > share || got.Bytes < share/2 || got.Entries < 10 || got.Entries >= users {
		t.Errorf("got %+v", got)
	}
	if got, _ := ts.find(tallyKey{user: "0"}, &basis{}, time.Time{}); got != nil {
		t.Error("the oldest is still there")
	}
	key := tallyKey{user: fmt.Sprint(users - 1)}
	got, _ := ts.find(key, &basis{}, time.Time{})
	if got == nil {
		t.Fatal("the newest is gone")
	}
	before := ts.stats().Bytes
	ts.settled(key, got, nil, MaxUnread, timeline.ReadMarks{Unthreaded: MaxUnread})
	if after := ts.stats().Bytes; after >= before {
		t.Errorf("what was read still weighs: %d, and before %d", after, before)
	}
}

func TestEffects(t *testing.T) {
	t.Parallel()
	member := func(of, sender, membership string) *timeline.Event {
		e := newEvent(t, "m.room.member", `{"membership":"`+membership+`"}`, &of)
		e.Sender = sender
		return e
	}
	redaction := newEvent(t, "m.room.redaction", `{}`, nil)
	redaction.Redacts = "$x"
	own := newEvent(t, "m.room.message", `{}`, nil)
	own.Sender = alice
	ignored := newEvent(t, "m.room.message", `{}`, nil)
	ignored.Sender = carol
	old := newEvent(t, "m.room.message", `{}`, nil)
	for _, test := range []struct {
		name  string
		event *timeline.Event
		want  effect
	}{
		{"joining", member(alice, alice, "join"), restart},
		{"being invited", member(alice, bob, "invite"), restart},
		{"being kicked", member(alice, bob, "leave"), restart},
		{"kicking", member(bob, alice, "leave"), read},
		{"another's joining", member(bob, bob, "join"), notify},
		{"an own message", own, read},
		{"a message", newEvent(t, "m.room.message", `{}`, nil), notify},
		{"one of somebody who is ignored", ignored, ignore},
		{"a redaction", redaction, redact},
		{"history that was learnt of later", old, ignore},
	} {
		if test.event != old {
			test.event.Position = 1
		}
		if got := effectOf(test.event, alice, map[string]bool{carol: true}); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
