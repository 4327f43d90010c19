package push

import (
	"sync"
	"time"

	"homeserver/internal/cache"
)

// How much rules may look at, in bytes, more or less, each of which takes about a
// nanosecond. Without a bound, a few long messages and many patterns would keep the
// server busy for minutes.
const (
	// freeEffort is what looking at an event costs nobody: no more than reading the
	// event takes, and enough for the predefined rules on a message of usual length.
	freeEffort = 4 << 10
	// maxEffort is what one event may take.
	maxEffort = 1 << 20
	// maxBudget is what a user's rules may take at once beyond what is free, over all
	// events, rooms and requests, and budgetPerSecond what they get back.
	maxBudget       = 64 << 20
	budgetPerSecond = 2 << 20
	// maxBodyBytes is how much of a body rules look at.
	maxBodyBytes = 4 << 10
)

// budgetRefill is how long it takes until a budget that is used up is whole again.
const budgetRefill = maxBudget / budgetPerSecond * time.Second

// budget is what the rules of one user may still look at beyond what is free. All that
// evaluates them at the same time shares it.
type budget struct {
	mu   sync.Mutex
	left int
	at   time.Time
}

// weighBudget is about how many bytes a budget takes. Those are kept of who needed more
// than what is free last.
func weighBudget(userID string, _ *budget) int {
	const structs = 60
	return structs + cache.Text(userID)
}

func newBudget(now time.Time) *budget { return &budget{left: maxBudget, at: now} }

// take takes as much as is there, want at most, and reports how much that is.
func (b *budget) take(now time.Time, want int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(maxBudget, b.left+int(min(passed, budgetRefill).Seconds()*budgetPerSecond))
		b.at = now
	}
	got := max(0, min(want, b.left))
	b.left -= got
	return got
}

func (b *budget) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(maxBudget, b.left+n)
}

// effort is what evaluating rules on one event may still take.
type effort struct {
	left int
	// granted is how much of left came from the budget of the rules' owner.
	granted int
	asked   bool
	// cut tells that something was not looked at which a full budget had allowed.
	cut bool
	// budget gives the budget of the rules' owner; nil: there is all that one event may
	// take.
	budget func() *budget
	now    func() time.Time
}

// begin makes the effort ready for the next event.
func (e *effort) begin() {
	e.left, e.granted, e.asked, e.cut = freeEffort, 0, false, false
}

// spend takes some of it, and reports false where there is not as much left: then it
// takes nothing, and what was to be looked at counts as not there.
func (e *effort) spend(bytes int) bool {
	if bytes > e.left && !e.asked {
		e.ask()
	}
	if bytes > e.left {
		e.cut = e.granted < maxEffort-freeEffort
		return false
	}
	e.left -= bytes
	return true
}

// ask asks for what one event may take beyond what is free.
func (e *effort) ask() {
	e.asked, e.granted = true, maxEffort-freeEffort
	if e.budget != nil {
		e.granted = e.budget().take(e.now(), e.granted)
	}
	e.left += e.granted
}

// end returns what was not needed to the budget.
func (e *effort) end() {
	if unused := min(e.left, e.granted); e.budget != nil && unused > 0 {
		e.budget().giveBack(unused)
	}
}
