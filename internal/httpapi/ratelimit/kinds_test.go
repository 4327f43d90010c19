package ratelimit

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestLimitsKeepKindsApart(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1000, 0) }
	l := NewLimits(map[Kind]Limit{Messages: {PerSecond: 1, Burst: 1}, Joins: {PerSecond: 1, Burst: 3}}, now, 0)
	for _, kind := range []Kind{Messages, Joins} {
		if _, err := l.Take(kind, "a"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := l.Take(Messages, "a"); err == nil {
		t.Error("a second message is let through")
	}
	if _, err := l.TakeN(Joins, "a", 3); err == nil {
		t.Error("a fourth join is let through")
	}
	for range 100 {
		if _, err := l.Take(Uploads, "a"); err != nil {
			t.Fatalf("a kind without a limit: %v", err)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(l.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		refused[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	if want := map[string]float64{"messages": 1, "joins": 1}; !maps.Equal(refused, want) {
		t.Errorf("the metric has %v, want %v", refused, want)
	}
}

func TestTakeAllTakesAllOrNone(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1000, 0) }
	l := NewLimits(map[Kind]Limit{Messages: {PerSecond: 1, Burst: 5}, Invites: {PerSecond: 1, Burst: 2}}, now, 0)
	invite := []Cost{{Messages, "a", 2}, {Invites, "b", 1}, {Invites, "", 100}}
	first, err := l.TakeAll(invite)
	if err != nil || len(first) != len(invite) {
		t.Fatalf("%d claims, %v", len(first), err)
	}
	if _, err := l.TakeAll(append(invite, Cost{Invites, "b", 1})); err == nil {
		t.Error("more is taken than there is")
	}
	if _, err := l.TakeAll(invite); err != nil { // the refusal has taken nothing
		t.Error(err)
	}
	if _, err := l.TakeAll(invite); err == nil {
		t.Error("more is taken than there is")
	}
	first.GiveBack()
	if _, err := l.TakeAll(invite); err != nil {
		t.Error(err)
	}
}

func TestNoLimitsAllowEverything(t *testing.T) {
	t.Parallel()
	var none *Limits
	claim, err := none.TakeN(Messages, "a", 1_000_000)
	if err != nil {
		t.Error(err)
	}
	claim.GiveBack()
	if none.Collectors() != nil {
		t.Error("there are metrics of nothing")
	}
}

func TestKindsAreDistinct(t *testing.T) {
	t.Parallel()
	kinds := Kinds()
	slices.Sort(kinds)
	if len(slices.Compact(slices.Clone(kinds))) != len(kinds) {
		t.Errorf("a kind is there twice: %v", kinds)
	}
}
