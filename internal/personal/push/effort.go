package push

import (
	"sync"
	"time"

	"homeserver/internal/cache"
)

// How much text rules may examine, in bytes, more or less, each of which costs about a
// nanosecond. Without a bound, a few long messages and many patterns would keep the
// server busy for minutes.
const (
	// freeEffort is the part of each event's cost that is not counted: no more than the
	// cost of reading the event, and enough for the predefined rules on a message of
	// usual length.
	freeEffort = 4 << 10
	// maxEffort is the highest cost of one event.
	maxEffort = 1 << 20
	// maxBudget is the highest cost of a user's rules beyond the free part, over all
	// events, rooms and requests, and budgetPerSecond the part of it that comes back.
	maxBudget       = 64 << 20
	budgetPerSecond = 2 << 20
	// maxBodyBytes is how much of a body rules look at.
	maxBodyBytes = 4 << 10
)

// budgetRefill is the time until a used-up budget is full again.
const budgetRefill = maxBudget / budgetPerSecond * time.Second

// budget is the cost that the rules of one user may still have beyond the free part.
// All evaluations of them at the same time share it.
type budget struct {
	mu   sync.Mutex
	left int
	at   time.Time
}

// weighBudget estimates the bytes of a budget in memory. Budgets are kept of users who
// needed more than the free part recently.
func weighBudget(userID string, _ *budget) int {
	const structs = 60
	return structs + cache.Text(userID)
}

func newBudget(now time.Time) *budget { return &budget{left: maxBudget, at: now} }

// take reserves as much as is left, want at most, and returns how much that is.
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

// effort is the cost that evaluating rules on one event may still have.
type effort struct {
	left int
	// granted is how much of left came from the budget of the rules' owner.
	granted int
	asked   bool
	// cut reports that something was not examined that a full budget would have
	// allowed.
	cut bool
	// budget returns the budget of the rules' owner; nil: it is maxEffort.
	budget func() *budget
	now    func() time.Time
}

// begin makes the effort ready for the next event.
func (e *effort) begin() {
	e.left, e.granted, e.asked, e.cut = freeEffort, 0, false, false
}

// spend uses some of it. It returns false if there is not as much left: then it uses
// nothing, and the property to be examined counts as missing.
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

// ask reserves the effort that one event may need beyond the free part.
func (e *effort) ask() {
	e.asked, e.granted = true, maxEffort-freeEffort
	if e.budget != nil {
		e.granted = e.budget().take(e.now(), e.granted)
	}
	e.left += e.granted
}

// end returns the unused effort to the budget.
func (e *effort) end() {
	if unused := min(e.left, e.granted); e.budget != nil && unused > 0 {
		e.budget().giveBack(unused)
	}
}
