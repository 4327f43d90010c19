package syncstream_test

import (
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/personal/presence"
	"homeserver/internal/syncstream"
)

// benchmark makes a server with n rooms of alice's that bob is in, too.
func benchmark(b *testing.B, n int) (*env, []string) {
	b.Helper()
	h := envOn(b, nil, journal.Options{})
	var list []string
	for range n {
		list = append(list, h.Public(bob))
	}
	return h, list
}

func (h *env) bench(b *testing.B, q syncstream.Query) {
	b.Helper()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		a, err := h.Sync(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		n = len(written(b, a))
	}
	b.ReportMetric(float64(n), "bytes/answer")
}

func BenchmarkNothingNewIn100Rooms(b *testing.B) {
	h, _ := benchmark(b, 100)
	c := h.synced(bob, "")
	h.bench(b, c.Query)
}

// The same as it is by default: shown as online.
func BenchmarkNothingNewOnline(b *testing.B) {
	h, _ := benchmark(b, 100)
	c := h.client(bob, "")
	c.SetPresence = presence.Online
	c.sync()
	h.bench(b, c.Query)
}

func BenchmarkNothingNewForTheUser(b *testing.B) {
	h, _ := benchmark(b, 100)
	c := h.synced(bob, "")
	h.say(alice, h.Public(), "elsewhere")
	h.bench(b, c.Query)
}

func BenchmarkOneEventIn100Rooms(b *testing.B) {
	h, list := benchmark(b, 100)
	c := h.synced(bob, "")
	h.say(alice, list[50], "hi")
	h.bench(b, c.Query)
}

func BenchmarkOneEventLazyLoaded(b *testing.B) {
	h, list := benchmark(b, 100)
	c := h.synced(bob, `{"room":{"state":{"lazy_load_members":true}}}`)
	h.say(alice, list[50], "hi")
	c.sync()
	h.say(alice, list[50], "again")
	h.bench(b, c.Query)
}
