package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// weightless counts entries alone.
func weightless(string, *int) int { return 0 }

// roomFor returns the share that has room for so many of these entries.
func roomFor(entries int) int {
	return entries * (New[string, int](1, weightless).slots.fixed + 8)
}

func TestCache(t *testing.T) {
	t.Parallel()
	c := New(roomFor(2), weightless)
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
	if got := c.Stats().Entries; got != 2 || c.Place("c").Load() == nil {
		t.Errorf("%d are kept", got)
	}
	c.ForgetAll()
	if got := c.Stats(); got.Entries+got.Bytes != 0 {
		t.Errorf("left: %+v", got)
	}
	New(1, weightless).Place("a").Store(new(1))
}

func TestCacheWeighsWhatIsStoredAndChanged(t *testing.T) {
	t.Parallel()
	c := New(roomFor(2)+100, func(_ string, v *int) int {
		if v == nil {
			return 0
		}
		return *v
	})
	c.Place("a").Store(new(50))
	c.Place("b").Store(new(50))
	if got := c.Stats(); got.Entries != 2 || got.Bytes != roomFor(2)+100 {
		t.Errorf("got %+v", got)
	}
	c.Change("b", func(*int) *int { return new(51) })
	if got := c.Stats(); got.Entries != 1 || got.Bytes != roomFor(1)+51 || c.Place("b").Load() == nil {
		t.Errorf("after one has grown: %+v", got)
	}
	c.Place("c").Store(new(1 << 20))
	if got := c.Stats(); got.Entries != 1 || c.Place("b").Load() == nil {
		t.Errorf("after one that is too large: %+v", got)
	}
}

func TestWhatIsNotKnownTakesNoRoom(t *testing.T) {
	t.Parallel()
	c := New(roomFor(2), weightless)
	if v := c.Known("a"); v != nil || c.Stats().Entries != 0 {
		t.Errorf("found %d in %+v", v, c.Stats())
	}
	c.Place("a")
	if v := c.Known("a"); v != nil {
		t.Errorf("found %d, which nobody has read", *v)
	}
	c.Place("a").Store(new(1))
	if v := c.Known("a"); v == nil || *v != 1 || c.Stats().Hits != 1 {
		t.Errorf("found %v in %+v", v, c.Stats())
	}
}

func TestCacheTellsHowItIsUsed(t *testing.T) {
	t.Parallel()
	c := New(roomFor(2), weightless)
	c.Place("a")               // is not there
	c.Place("a").Store(new(1)) // somebody is reading it
	c.Place("a")
	c.Place("b")
	if got, want := c.Stats(), (Stats{Entries: 2, Bytes: roomFor(2), Hits: 1, Misses: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.ForgetAll()
	if got, want := c.Stats(), (Stats{Hits: 1, Misses: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What was read before a change, and stored after it, is found by nobody.
func TestCacheFindsNothingOutdated(t *testing.T) {
	t.Parallel()
	c := New(roomFor(2), weightless)
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
	c := New(roomFor(2), weightless)
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
	c := New(roomFor(4), weightless)
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
