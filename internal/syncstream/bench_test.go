package syncstream_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/presence"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// benchmark makes a server with n rooms of alice's that bob is in, too.
func benchmark(b *testing.B, n int) (*house, []string) {
	b.Helper()
	h := houseOn(b, postgrestest.New(b), journal.Options{})
	var list []string
	for range n {
		list = append(list, h.public(bob))
	}
	return h, list
}

func (h *house) bench(b *testing.B, q syncstream.Query) {
	b.Helper()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		a, err := h.Sync(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		dst = a.AppendJSON(dst[:0])
	}
	b.ReportMetric(float64(len(dst)), "bytes/answer")
}

func BenchmarkInitialSyncOf100Rooms(b *testing.B) {
	h, _ := benchmark(b, 100)
	h.bench(b, syncstream.Query{UserID: bob})
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
	h.say(alice, h.public(), "elsewhere")
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

func BenchmarkOneEventBySQL(b *testing.B) {
	h, list := benchmark(b, 100)
	c := h.synced(bob, "")
	h.say(alice, list[50], "hi")
	away := houseOn(b, h.pool, journal.Options{})
	away.bench(b, c.Query)
}

func BenchmarkMembers(b *testing.B) {
	for _, members := range []int{10, 10_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			h, list := benchmark(b, 1)
			h.crowdOf(b, list[0], members-2)
			c := h.synced(bob, "")
			h.say(alice, list[0], "hi")
			h.bench(b, c.Query)
		})
	}
}

// crowdOf lets many users join a room at once.
func (h *house) crowdOf(b *testing.B, room string, n int) {
	b.Helper()
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := w; i < n; i += 32 {
				if err := h.rooms.Join(b.Context(), fmt.Sprintf("@user%d:localhost", i), room, ""); err != nil {
					b.Errorf("join: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// 200 users wait; one message is sent. The time is that from the announcement of
// its commit, before anybody is woken, to each answer in JSON.
func BenchmarkDeliveryTo200(b *testing.B) {
	const n = 200
	h, list := benchmark(b, 1)
	h.crowdOf(b, list[0], n)
	for i := range n { // who waits has asked before
		h.synced(fmt.Sprintf("@user%d:localhost", i), "")
	}
	since := syncstream.FormatToken(h.journal.Position())
	var late []time.Duration
	for b.Loop() {
		waits, answered := make(chan struct{}, n), make(chan time.Time, n)
		for i := range n {
			q := syncstream.Query{UserID: fmt.Sprintf("@user%d:localhost", i), Since: since, Timeout: patience}
			go func() {
				a, err := h.Sync(&waitContext{b.Context(), waits}, q)
				if err != nil {
					b.Error(err)
				} else {
					a.AppendJSON(nil)
				}
				answered <- time.Now()
			}()
		}
		for range n {
			<-waits
		}
		_, err := h.rooms.Send(b.Context(), rooms.Request{UserID: alice, RoomID: list[0]}, "m.room.message", []byte(`{"body":"hi"}`))
		if err != nil {
			b.Fatal(err)
		}
		committed := time.Unix(0, h.committed.Load())
		for range n {
			late = append(late, (<-answered).Sub(committed))
		}
		since = syncstream.FormatToken(h.journal.Position())
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(late[len(late)-1].Microseconds()), "max-µs")
}
