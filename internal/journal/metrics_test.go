package journal

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered returns the journal's counters and gauges.
func gathered(t *testing.T, j *Journal) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(j.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestMetricsTellWhatWaits(t *testing.T) {
	t.Parallel()
	c := &copies{}
	j := New(copiesPool(t), Options{})
	f := j.Follower("copies", c.step)
	first, second := note(1, "waits"), note(2, "waits too")
	for _, w := range []*Write{first, second} {
		if _, err := j.Enqueue(w); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]float64{
		"homeserver_journal_queue_writes":     2,
		"homeserver_journal_queue_bytes":      float64(first.size() + second.size()),
		"homeserver_follower_position copies": 0,
	}
	expect := func() {
		t.Helper()
		got := gathered(t, j)
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s is %v, want %v", name, got[name], value)
			}
		}
	}
	expect()

	start(t, j)
	f.Start(t.Context())
	t.Cleanup(f.Stop)
	commit(t, j, note(1, "goes through"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.Await(ctx, 3); err != nil {
		t.Fatal(err)
	}
	want = map[string]float64{
		"homeserver_journal_queue_writes": 0, "homeserver_journal_queue_bytes": 0, "homeserver_follower_position copies": 3,
	}
	expect()
}
