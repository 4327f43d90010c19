package gauge_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"homeserver/internal/gauge"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// wantRefused checks that a caller is refused, and learns when to come back.
func wantRefused(t *testing.T, err error, code matrix.Code, status int) {
	t.Helper()
	if e := matrixtest.WantStatus(t, err, code, status); e.RetryAfter == 0 {
		t.Fatalf("%v has no time to come back", err)
	}
}

func TestTryEnter(t *testing.T) {
	t.Parallel()
	g := gauge.New(gauge.Options{Total: 10, Each: 6})
	for range 2 {
		if err := g.TryEnter("a", 3); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(t, g.TryEnter("a", 1), matrix.LimitExceeded, 429)
	if err := g.TryEnter("b", 4); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, g.TryEnter("c", 1), matrix.Unknown, 503)
	g.Leave("a", 3)
	g.Leave("a", 3)
	if err := g.TryEnter("c", 6); err != nil {
		t.Fatal(err)
	}
	g.Leave("b", 4)
	g.Leave("c", 6)
	if g.Held() != 0 || g.Callers() != 0 {
		t.Errorf("%d is held by %d callers", g.Held(), g.Callers())
	}
}

// order asks for work of one processor in the given order, and returns the order in which
// it was done.
func order(t *testing.T, o gauge.Options, asked ...string) []string {
	t.Helper()
	var done []string
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New(o)
		if _, err := g.Enter(t.Context(), "first", 1); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, key := range asked {
			all.Go(func() {
				n, err := g.Enter(t.Context(), key, 1)
				if err != nil {
					t.Error(err)
					return
				}
				done = append(done, key) // one at a time: Total is 1
				g.Leave(key, n)
			})
			synctest.Wait()
		}
		g.Leave("first", 1)
		all.Wait()
		if g.Held() != 0 || g.Callers() != 0 {
			t.Errorf("%d is held by %d callers", g.Held(), g.Callers())
		}
	})
	return done
}

func TestWhoAsksForMuchWaitsForHimself(t *testing.T) {
	t.Parallel()
	got := order(t, gauge.Options{Total: 1}, "flood", "flood", "flood", "flood", "a", "b", "a")
	if want := []string{"flood", "a", "b", "flood", "a", "flood", "flood"}; !slices.Equal(slices.Sorted(slices.Values(got[:3])), slices.Sorted(slices.Values(want[:3]))) ||
		!slices.Equal(slices.Sorted(slices.Values(got[3:5])), slices.Sorted(slices.Values(want[3:5]))) {
		t.Errorf("done in the order %v, want as in %v", got, want)
	}
}

func TestWorkCountsByItsWeight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New(gauge.Options{Total: 100})
		if n, err := g.Enter(t.Context(), "x", 1000); err != nil || n != 100 {
			t.Fatalf("what is larger than everything counts as %d, %v", n, err)
		}
		var done []string
		var all sync.WaitGroup
		ask := func(key string, n int64) {
			all.Go(func() {
				counted, err := g.Enter(t.Context(), key, n)
				if err != nil {
					t.Error(err)
				}
				done = append(done, key)
				g.Leave(key, counted)
			})
			synctest.Wait()
		}
		ask("large", 90)
		ask("large", 90)
		ask("small", 60)
		ask("small", 60)
		g.Leave("x", 100)
		all.Wait()
		if want := []string{"large", "small", "small", "large"}; !slices.Equal(done, want) {
			t.Errorf("done in the order %v, want %v", done, want)
		}
	})
}

// A caller that has all that one caller may have does not stand in the way of others.
func TestTheBoundOfOneHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New(gauge.Options{Total: 2, Each: 1})
		if _, err := g.Enter(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		second := make(chan error)
		go func() {
			_, err := g.Enter(t.Context(), "a", 1)
			second <- err
		}()
		synctest.Wait()
		if _, err := g.Enter(t.Context(), "b", 1); err != nil {
			t.Fatal(err)
		}
		g.Leave("b", 1)
		select {
		case err := <-second:
			t.Fatalf("one has more than one may have: %v", err)
		default:
		}
		g.Leave("a", 1)
		if err := <-second; err != nil {
			t.Fatal(err)
		}
	})
}

// A caller that had waited for its own bound once took a turn of long ago, and callers that
// came after it went ahead of callers that waited.
func TestWhoWaitedForHimselfTurnedTheTimeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New(gauge.Options{Total: 2, Each: 1})
		var done []string
		var all sync.WaitGroup
		ask := func(key string, leaves bool) {
			all.Go(func() {
				if _, err := g.Enter(t.Context(), key, 1); err != nil {
					t.Error(err)
				}
				done = append(done, key)
				if leaves {
					g.Leave(key, 1)
				}
			})
			synctest.Wait()
		}
		ask("himself", false)
		ask("himself", false) // waits until the first is over
		ask("before", false)
		for range 5 {
			ask("others", true)
		}
		g.Leave("before", 1) // all of the others have their turn
		synctest.Wait()
		ask("before", false)
		ask("early", true)
		g.Leave("himself", 1)
		synctest.Wait()
		ask("late", true)
		g.Leave("before", 1)
		all.Wait()
		if slices.Index(done, "early") > slices.Index(done, "late") {
			t.Errorf("done in the order %v", done)
		}
		g.Leave("himself", 1)
	})
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New(gauge.Options{Total: 1, Waiting: 3, EachWaiting: 2})
		if _, err := g.Enter(t.Context(), "x", 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, key := range []string{"a", "a", "b"} {
			all.Go(func() {
				if _, err := g.Enter(ctx, key, 1); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
			synctest.Wait()
			if key == "a" {
				continue
			}
			_, err := g.Enter(ctx, "c", 1)
			wantRefused(t, err, matrix.Unknown, 503)
		}
		cancel()
		all.Wait()
		for range 2 {
			all.Go(func() {
				n, err := g.Enter(t.Context(), "a", 1)
				if err != nil {
					t.Error(err)
				}
				g.Leave("a", n)
			})
		}
		synctest.Wait()
		_, err := g.Enter(t.Context(), "a", 1)
		wantRefused(t, err, matrix.LimitExceeded, 429)
		g.Leave("x", 1)
		all.Wait()
		if g.Held() != 0 || g.Callers() != 0 {
			t.Errorf("%d is held by %d callers", g.Held(), g.Callers())
		}
	})
}

func TestNothingIsLostUnderLoad(t *testing.T) {
	t.Parallel()
	g := gauge.New(gauge.Options{Total: 7, Each: 5})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			key := string(rune('a' + i%5))
			for j := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if j%3 == 0 {
					go cancel()
				}
				if n, err := g.Enter(ctx, key, int64(1+(i+j)%8)); err == nil {
					g.Leave(key, n)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if g.Held() != 0 || g.Callers() != 0 {
		t.Errorf("%d is held by %d callers", g.Held(), g.Callers())
	}
}

// While others wait all the time, those who came once are forgotten all the same.
func TestCallersAreForgottenWhileOthersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New(gauge.Options{Total: 1})
		n, err := g.Enter(t.Context(), "busy", 1)
		for i := range 10_000 {
			if err != nil {
				t.Fatal(err)
			}
			next := make(chan error)
			go func() {
				_, err := g.Enter(t.Context(), "caller "+strconv.Itoa(i), n)
				next <- err
			}()
			synctest.Wait()
			if i == 0 {
				g.Leave("busy", n)
			} else {
				g.Leave("caller "+strconv.Itoa(i-1), n)
			}
			err = <-next
		}
		if n := g.Callers(); n > 3000 {
			t.Errorf("%d callers are remembered", n)
		}
	})
}
