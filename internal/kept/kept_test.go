package kept

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := New[string, int](2)
	if c.Place("a").Load() != nil {
		t.Error("there is a value before anybody has stored one")
	}
	c.Place("a").Store(new(1))
	c.Place("a").Store(new(2))
	if got := c.Place("a").Load(); got == nil || *got != 1 {
		t.Errorf("got %v, want what was first", got)
	}
	c.Forget("a")
	if c.Place("a").Load() != nil {
		t.Error("a value that was forgotten is there")
	}
	c.Place("a").Store(new(1))
	c.Place("b").Store(new(2))
	c.Place("c").Store(new(3))
	if c.places.Len() != 2 || c.Place("c").Load() == nil {
		t.Errorf("%d are kept", c.places.Len())
	}
	c.ForgetAll()
	if c.places.Len() != 0 {
		t.Error("something is left")
	}
	New[string, int](0).Place("a").Store(new(1))
}

func TestCacheTellsHowItIsUsed(t *testing.T) {
	t.Parallel()
	c := New[string, int](2)
	c.Place("a")               // is not there
	c.Place("a").Store(new(1)) // somebody is reading it
	c.Place("a")
	c.Place("b")
	if got, want := c.Stats(), (Stats{Entries: 2, Hits: 1, Misses: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.ForgetAll()
	if got, want := c.Stats(), (Stats{Hits: 1, Misses: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	for scale, want := range map[Scale]int{0: 1000, 1: 1000, 0.125: 125, 4: 4000, 1e-9: 1} {
		if got := scale.Of(1000); got != want {
			t.Errorf("%v: got %d, want %d", scale, got, want)
		}
	}
}

// What was read before a change, and stored after it, is found by nobody.
func TestCacheFindsNothingOutdated(t *testing.T) {
	t.Parallel()
	c := New[string, int](2)
	before := c.Place("a")
	c.Forget("a")
	before.Store(new(1))
	if got := c.Place("a").Load(); got != nil {
		t.Errorf("found %d", *got)
	}
	before = c.Place("a")
	c.Change("a", func(*int) *int { t.Error("changed what is not known"); return nil })
	before.Store(new(1))
	if got := c.Place("a").Load(); got != nil {
		t.Errorf("after a change found %d", *got)
	}
}

func TestCacheIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	c := New[string, int](2)
	add := func(old *int) *int { return new(*old + 1) }
	c.Change("a", add)
	early := c.Place("a")
	early.Store(new(1))
	c.Change("a", add)
	early.Store(new(1)) // by one who began to read before
	if got := c.Place("a").Load(); got == nil || *got != 2 {
		t.Errorf("got %v", got)
	}
	c.Change("a", func(*int) *int { return nil })
	if got := c.Place("a").Load(); got != nil {
		t.Errorf("%d was given up and is there", *got)
	}
}

// Readers of a value that is counted up elsewhere: once a change is announced
// nobody finds less.
func TestCacheUnderLoad(t *testing.T) {
	t.Parallel()
	c := New[string, int](4)
	var mu sync.Mutex
	stored, announced := 0, 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				mu.Lock()
				least := announced
				mu.Unlock()
				place := c.Place("n")
				value := place.Load()
				if value == nil {
					mu.Lock()
					value = new(stored)
					mu.Unlock()
					place.Store(value)
				}
				if *value < least {
					t.Errorf("found %d after %d was announced", *value, least)
				}
			}
		})
	}
	for n := range 500 {
		mu.Lock()
		stored = n + 1
		mu.Unlock()
		if n%3 == 0 {
			c.Forget("n")
		} else {
			c.Change("n", func(old *int) *int { return new(max(*old, n+1)) })
		}
		mu.Lock()
		announced = n + 1
		mu.Unlock()
	}
	all.Wait()
}

func TestTurnsAreTakenOneByOne(t *testing.T) {
	t.Parallel()
	var ts Turns
	var all sync.WaitGroup
	var counts [2]int // each guarded by nothing but its turn
	for i := range 40 {
		all.Go(func() {
			end, err := ts.Take(t.Context(), fmt.Sprint(i%2))
			if err != nil {
				t.Error(err)
				return
			}
			counts[i%2]++
			end()
		})
	}
	all.Wait()
	if counts != [2]int{20, 20} || len(ts.taken) > 0 {
		t.Errorf("counted %v; left %v", counts, ts.taken)
	}
}

func TestTurnIsGivenUp(t *testing.T) {
	t.Parallel()
	var ts Turns
	end, err := ts.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := ts.Take(ctx, "a")
		gaveUp <- err
	}()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	end()
	if len(ts.taken) > 0 {
		t.Errorf("left: %v", ts.taken)
	}
}
