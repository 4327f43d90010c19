package push

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// greedy are alice's rules that take as much as an event may, and match nothing, above
// one for a word.
func greedy() *Ruleset {
	own := &ownRules{}
	for i := range 30 {
		own.Rules[Content] = append(own.Rules[Content], Rule{
			ID: fmt.Sprint(i), Enabled: true, Actions: rawList(plain), Pattern: new(strings.Repeat("a?", 120) + "b"),
		})
	}
	return newRuleset(alice, own, 0)
}

// sameBudget is a look that shares a budget, by a clock that stands still.
func sameBudget(b *budget) *look {
	at := b.at
	return &look{effort: effort{budget: func() *budget { return b }, now: func() time.Time { return at }}}
}

// TestBudgetIsOneForAllEventsAndRequests: many long messages, looked at by many at the
// same time, take no more than the budget beyond what is free.
func TestBudgetIsOneForAllEventsAndRequests(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "m.room.message", `{"body":"`+strings.Repeat("a ", 30_000)+`"}`, nil)
	b := newBudget(time.Unix(0, 0))
	rules := greedy()
	const callers, events = 4, 40
	var all sync.WaitGroup
	var mu sync.Mutex
	cut := 0
	for range callers {
		all.Go(func() {
			l := sameBudget(b)
			for range events {
				rules.evaluate(e, group(), l)
				if l.cut {
					mu.Lock()
					cut++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if whole := callers*events - cut; whole > maxBudget/(maxEffort-freeEffort) || whole < maxBudget/maxEffort-callers {
		t.Errorf("%d events were looked at as a whole", whole)
	}
	if b.left < 0 || b.left > maxEffort {
		t.Errorf("%d are left of the budget", b.left)
	}
	// What had too little is told from what takes too much in any case.
	l := sameBudget(newBudget(time.Unix(0, 0)))
	if rules.evaluate(e, group(), l); l.cut {
		t.Error("an event that is too much in any case is taken for one that had too little")
	}
}

func TestBudgetIsRefilled(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	b := newBudget(at)
	for _, step := range []struct {
		after      time.Duration
		want, take int
	}{
		{0, maxBudget - 5, maxBudget - 5},
		{0, 10, 5},
		{-time.Hour, 10, 0}, // the clock was put back
		{time.Second, 2 * budgetPerSecond, budgetPerSecond},
		{1000 * time.Hour, 2 * maxBudget, maxBudget},
	} {
		if got := b.take(at.Add(step.after), step.want); got != step.take {
			t.Errorf("after %v: %d of %d, want %d", step.after, got, step.want, step.take)
		}
	}
	b.giveBack(2 * maxBudget)
	if b.left != maxBudget {
		t.Errorf("%d are left", b.left)
	}
}

// TestUsedUpBudgetLeavesThePredefinedRules: they are free on messages of usual length.
func TestUsedUpBudgetLeavesThePredefinedRules(t *testing.T) {
	t.Parallel()
	b := newBudget(time.Unix(0, 0))
	b.take(b.at, maxBudget)
	for content, want := range map[string]Outcome{
		`{"msgtype":"m.text","body":"` + strings.Repeat("Some words. ", 50) + `","m.mentions":{"user_ids":["` + alice + `"]}}`: {Notify: true, Highlight: true},
		`{"msgtype":"m.text","body":"` + strings.Repeat("Some words. ", 50) + `alice"}`:                                        {Notify: true, Highlight: true},
		`{"msgtype":"m.notice","body":"` + strings.Repeat("Some words. ", 50) + `"}`:                                           {},
		`{"msgtype":"m.text","body":"` + strings.Repeat("Some words. ", 5000) + `"}`:                                           {Notify: true},
	} {
		got := defaults().evaluate(newEvent(t, "m.room.message", content, nil), group(), sameBudget(b))
		if got.Notify != want.Notify || got.Highlight != want.Highlight {
			t.Errorf("%.40s…: %v, %v", content, got.Notify, got.Highlight)
		}
	}
}

// TestCountPastTheBudgetIsNotKept: what could not be looked at counts as unmatched, and
// is counted anew when there is a budget again.
func TestCountPastTheBudgetIsNotKept(t *testing.T) {
	h := newEnv(t)
	now := time.Unix(1000, 0)
	h.now = func() time.Time { return now }
	room, other := h.Public(bob), h.Public(bob)
	h.OK(h.put(bob, Content, "cake", `{"pattern":"c?ke","actions":["notify",{"set_tweak":"highlight"}]}`, Place{}))
	long := strings.Repeat("-", 2000) + " cake"
	h.Send(alice, room, long)
	h.Send(alice, other, "cake")
	nids := []journal.RoomNID{h.NID(room), h.NID(other)}
	want := func(what string, highlights int) {
		t.Helper()
		counts, err := h.Counts(t.Context(), bob, nids, h.Journal.Position())
		h.OK(err)
		if got := counts[nids[0]].Main; got != (Count{1, highlights}) {
			t.Errorf("%s: %+v, want %d highlighted", what, got, highlights)
		}
		if got := counts[nids[1]].Main; got != (Count{1, 1}) {
			t.Errorf("%s, in the other room: %+v", what, got)
		}
	}
	h.budgetOf(bob).take(now, maxBudget)
	want("with no budget", 0)
	now = now.Add(budgetRefill - time.Second)
	want("a little before it is whole again", 0)
	now = now.Add(time.Second)
	want("after that", 1)
	h.budgetOf(bob).take(now, maxBudget)
	now = now.Add(budgetRefill / 2)
	want("what was counted with a budget stays", 1)
}

// TestBodiesAreLookedAtInTheirFirstWords: of a long one only the beginning counts, up to
// the end of a word.
func TestBodiesAreLookedAtInTheirFirstWords(t *testing.T) {
	t.Parallel()
	long := func(before string) string { return before + strings.Repeat(" x", maxBodyBytes) }
	upTo := func(n int) string { return strings.Repeat("x ", n/2) }
	cake := func(body string) *timeline.Event {
		return newEvent(t, "org.example", fmt.Sprintf(`{"body":%s}`, body), nil)
	}
	for name, test := range map[string]struct {
		body string
		want bool
	}{
		"at the beginning":              {`"` + long("cake") + `"`, true},
		"at the end":                    {`"` + upTo(maxBodyBytes) + `cake"`, false},
		"just before the bound":         {`"` + upTo(maxBodyBytes-10) + `cake ` + upTo(100) + `"`, true},
		"a word that the bound cuts":    {`"` + upTo(maxBodyBytes-6) + ` cakewalk ` + upTo(100) + `"`, false},
		"an escape that the bound cuts": {`"cake ` + strings.Repeat(`\"`, maxBodyBytes) + `"`, true},
		"another":                       {`"cake  ` + strings.Repeat(`\u0001`, maxBodyBytes) + `"`, true},
		"a letter that the bound cuts":  {`"cake ` + strings.Repeat(`€`, maxBodyBytes) + `"`, true},
		"one word":                      {`"cake` + strings.Repeat(`x`, maxBodyBytes) + `"`, false},
		"a list":                        {`["cake",` + strings.Repeat(`1,`, maxBodyBytes) + `1]`, false},
	} {
		if got := holds(t, `[{"kind":"event_match","key":"content.body","pattern":"cake"}]`, cake(test.body), group()); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
