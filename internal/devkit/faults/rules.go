package faults

import (
	"slices"
	"strconv"
	"sync"

	"homeserver/internal/devkit/filter"
)

// MaxRules is how many faults are kept at most.
const MaxRules = 1000

// Fault is a rule that has been taken up.
type Fault struct {
	ID string `json:"fault_id"`
	// Hits is how many requests it has met.
	Hits int `json:"hits"`
	Rule
	picked int
	gone   chan struct{} // closed when it is taken back
}

// spent reports whether it meets no more requests.
func (f *Fault) spent() bool { return f.Times > 0 && f.Hits >= f.Times }

// Rules are the faults there are. They may be used concurrently.
type Rules struct {
	mu    sync.Mutex
	last  int
	rules []*Fault // the oldest first
}

// Add takes up a rule, and returns its ID; false if there are too many.
func (s *Rules) Add(r Rule) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules) >= MaxRules {
		oldest := slices.IndexFunc(s.rules, (*Fault).spent)
		if oldest < 0 {
			return "", false
		}
		s.remove(s.rules[oldest].ID)
	}
	s.last++
	f := &Fault{ID: strconv.Itoa(s.last), Rule: r, gone: make(chan struct{})}
	s.rules = append(s.rules, f)
	return f.ID, true
}

// List returns the faults, the oldest first, with those that are used up.
func (s *Rules) List() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Fault, len(s.rules))
	for i, f := range s.rules {
		list[i] = *f
	}
	return list
}

// Remove takes back a fault, and reports whether there was one with the ID. Requests that it holds
// back go on.
func (s *Rules) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(id)
}

func (s *Rules) remove(id string) bool {
	at := slices.IndexFunc(s.rules, func(f *Fault) bool { return f.ID == id })
	if at < 0 {
		return false
	}
	close(s.rules[at].gone)
	s.rules = slices.Delete(s.rules, at, at+1)
	return true
}

// Clear takes back all faults.
func (s *Rules) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rules) > 0 {
		s.remove(s.rules[0].ID)
	}
}

// Take returns the fault that a request meets, which counts it; nil if it meets none.
func (s *Rules) Take(r *filter.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.rules {
		if f.spent() || !f.picks(r) {
			continue
		}
		if f.picked++; f.picked <= f.Skip {
			continue
		}
		f.Hits++
		met := *f
		return &met
	}
	return nil
}
