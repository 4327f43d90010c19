package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var latencies []time.Duration
	for i := range 100 {
		latencies = append(latencies, time.Duration(i+1)*time.Microsecond)
	}
	for percent, want := range map[int]float64{0: 1, 50: 51, 99: 100, 100: 100} {
		if got := percentile(latencies, percent); got != want {
			t.Errorf("%d %%: got %v, want %v", percent, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}

func TestRunsOfOnePartAreJoined(t *testing.T) {
	t.Parallel()
	var r run
	r.join(run{took: time.Second, latencies: []time.Duration{1, 9}, used: usage{server: time.Millisecond}})
	r.join(run{took: time.Second, latencies: []time.Duration{5, 7}, used: usage{server: time.Millisecond, here: 4}})
	if r.rate() != 2 || r.percentile(50) != 0.007 || r.each(r.used.server) != 500 || r.used.here != 4 {
		t.Errorf("got %+v: %v a second, %v, %v", r, r.rate(), r.percentile(50), r.each(r.used.server))
	}
	if none := (&run{}); none.rate() != 0 || none.each(1) != 0 {
		t.Errorf("of nothing: %v, %v", none.rate(), none.each(1))
	}
}

func TestEveryWorkerDoesItsPartOnceAtLeast(t *testing.T) {
	t.Parallel()
	var did [8]atomic.Int64
	r, err := goOn(t.Context(), len(did), 0, func(worker int) error {
		did[worker].Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for worker := range did {
		if n := did[worker].Load(); n != 1 {
			t.Errorf("worker %d did %d parts", worker, n)
		}
	}
	if len(r.latencies) != len(did) {
		t.Errorf("%d latencies", len(r.latencies))
	}
}

func TestWorkersGoOnForTheTimeThatTheyHave(t *testing.T) {
	t.Parallel()
	const enough = 20 * time.Millisecond
	r, err := goOn(t.Context(), 2, enough, func(int) error { return nil })
	if err != nil || r.took < enough || len(r.latencies) < 4 {
		t.Errorf("%d parts in %v: %v", len(r.latencies), r.took, err)
	}
}

func TestAPartThatFailsEndsTheRun(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := goOn(t.Context(), 4, time.Hour, func(worker int) error {
		if worker == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = goOn(ctx, 1, time.Hour, func(int) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestWaitingEndsWithTheCondition(t *testing.T) {
	t.Parallel()
	looks := 0
	err := until(t.Context(), func() (bool, error) { looks++; return looks == 3, nil })
	if err != nil || looks != 3 {
		t.Errorf("%d looks: %v", looks, err)
	}
	broken := errors.New("broken")
	if err := until(t.Context(), func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := until(ctx, func() (bool, error) { return false, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
