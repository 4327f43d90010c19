package syncstream_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/journal"
	"homeserver/internal/syncstream"
)

// measured returns how often answers of each kind and source were worked out, and how many requests wait.
func (h *env) measured() (counts map[string]uint64, waiting float64) {
	h.T.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(h.Collectors()...)
	families, err := registry.Gather()
	h.OK(err)
	counts = map[string]uint64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "homeserver_sync_waiting" {
				waiting = m.GetGauge().GetValue()
				continue
			}
			kind, source := m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue()
			if n := m.GetHistogram().GetSampleCount(); n > 0 {
				counts[fmt.Sprint(kind, " from ", source)] = n
			}
		}
	}
	return counts, waiting
}

func TestMetricsTellAnswersApart(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	want := func(expected map[string]uint64) {
		t.Helper()
		got, _ := h.measured()
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
	}
	c := h.synced(bob, "")
	want(map[string]uint64{"initial from database": 1})
	h.say(alice, room, "at once")
	c.sync()
	want(map[string]uint64{"initial from database": 1, "incremental from window": 1})

	c = h.synced(bob, "")
	before, _ := h.measured()
	w := h.await(c.Query)
	if _, waiting := h.measured(); waiting != 1 {
		t.Errorf("%v wait", waiting)
	}
	h.say(alice, room, "in the end")
	w.get()
	after, waiting := h.measured()
	wanted := maps.Clone(before)
	wanted["incremental from window"]++ // found nothing
	wanted["waited from window"]++
	if diff := cmp.Diff(wanted, after); diff != "" || waiting != 0 {
		t.Errorf("%v wait; counted (-want +got):\n%s", waiting, diff)
	}
}

func TestMetricsTellWhatTheWindowMisses(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	room := h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "too large for the window")
	c.sync()
	got, _ := h.measured()
	if diff := cmp.Diff(map[string]uint64{"initial from database": 1, "incremental from database": 1}, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func TestCachesTellHowTheyAreUsed(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	h.synced(bob, "")
	h.synced(bob, "")
	if got := h.Caches()["viewers"](); got.Entries != 1 || got.Hits != 1 || got.Misses != 1 || got.Bytes < 1000 {
		t.Errorf("viewers: got %+v", got)
	}
	h.sync(syncstream.Query{UserID: bob, DeviceID: "D", Filter: `{"room":{"state":{"lazy_load_members":true}}}`})
	if got := h.Caches()["members"](); got.Entries == 0 {
		t.Errorf("members: got %+v", got)
	}
}
