package reserve

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"homeserver/internal/matrix"
)

const mib = 1 << 20

// read reads n bytes in rows of 64 KiB on an account, and reports how often it began.
func read(ctx context.Context, n int) (began int, err error) {
	err = Read(ctx, func(c *Counter) error {
		began++
		for range n / pocket {
			if err := c.Add(pocket); err != nil {
				return err
			}
		}
		return nil
	})
	return began, err
}

func TestSmallReadsReserveNothing(t *testing.T) {
	t.Parallel()
	m := New(16*mib, nil)
	a := m.Open("alice")
	if _, err := read(With(t.Context(), a), pocket); err != nil || m.Held() != 0 {
		t.Errorf("%v, %d bytes are held", err, m.Held())
	}
}

func TestLargeReadsWaitForTheirTurnAndBeginAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(16*mib, nil)
		first, second := m.Open("alice"), m.Open("alice")
		if _, err := read(With(t.Context(), first), 4*mib); err != nil {
			t.Fatal(err)
		}
		done := make(chan int, 1)
		go func() {
			began, err := read(With(t.Context(), second), mib)
			if err != nil {
				t.Error(err)
			}
			done <- began
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("one caller has more than a quarter")
		default:
		}
		if _, err := read(With(t.Context(), m.Open("bob")), mib); err != nil {
			t.Errorf("another caller is held up: %v", err)
		}
		first.Close()
		if began := <-done; began < 2 {
			t.Errorf("the read has waited in the middle: it began %d times", began)
		}
	})
}

func TestWhoWaitsInVainIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(16*mib, nil)
		for _, caller := range []string{"a", "b", "c", "d"} {
			if _, err := read(With(t.Context(), m.Open(caller)), 4*mib); err != nil {
				t.Fatal(err)
			}
		}
		_, err := read(With(t.Context(), m.Open("alice")), mib)
		if e, ok := errors.AsType[*matrix.Error](err); !ok || e.HTTPStatus() != http.StatusServiceUnavailable || e.RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatCannotBeCutStillFits(t *testing.T) {
	t.Parallel()
	m := New(16*mib, nil)
	a := m.Open("alice")
	if _, err := read(With(t.Context(), a), 20*mib); err != nil || m.Held() != 4*mib {
		t.Errorf("%v, %d bytes are held", err, m.Held())
	}
	a.Close()
	if m.Held() != 0 {
		t.Errorf("%d bytes are held for nobody", m.Held())
	}
}

func TestAnAnswerCountsInsteadOfItsRows(t *testing.T) {
	t.Parallel()
	m := New(16*mib, nil)
	a := m.Open("alice")
	if _, err := read(With(t.Context(), a), 3*mib); err != nil {
		t.Fatal(err)
	}
	if err := a.Settle(t.Context(), mib); err != nil || m.Held() != mib {
		t.Errorf("%v, %d bytes are held", err, m.Held())
	}
	if err := a.Settle(t.Context(), 2*mib); err != nil || m.Held() != 2*mib {
		t.Errorf("%v, %d bytes are held", err, m.Held())
	}
}
