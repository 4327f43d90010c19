package presence

import (
	"log/slog"
	"testing"
	"time"

	"homeserver/internal/journal/replica"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// processes gives two houses on one database that hear of each other.
func processes(t *testing.T) (a, b *house) {
	t.Helper()
	t.Parallel()
	pool := postgrestest.New(t)
	houses := make([]*house, 2)
	for i := range houses {
		channel := replica.New(pool, slog.New(slog.DiscardHandler))
		houses[i] = houseOn(t, pool, channel)
		houses[i].Start(t.Context())
		t.Cleanup(houses[i].Stop)
		houses[i].ok(channel.Start(t.Context()))
		t.Cleanup(channel.Stop)
	}
	for _, h := range houses {
		for h.Others.Alone() { // until it has heard of the other
			h.ok(pool.Ping(t.Context()))
		}
	}
	return houses[0], houses[1]
}

// await waits until a process shows a user so.
func (h *house) await(userID string, is func(State) bool) {
	h.t.Helper()
	matrixtest.Until(h.t, userID+" is shown as expected", func() bool {
		state, err := h.Get(h.t.Context(), userID, userID)
		h.ok(err)
		return is(state)
	})
}

func TestOtherProcessesLearnWhatUsersSet(t *testing.T) {
	a, b := processes(t)
	a.ok(a.Set(t.Context(), alice, Unavailable, "at lunch"))
	b.await(alice, func(s State) bool { return s.Presence == Unavailable && s.StatusMsg == "at lunch" })
	a.passed.Add(int64(time.Second))
	b.passed.Add(int64(time.Second))
	b.ok(b.Set(t.Context(), alice, Online, "back"))
	a.await(alice, func(s State) bool { return s.Presence == Online && s.StatusMsg == "back" })
}

func TestWhoPollsOneProcessIsOnlineInAll(t *testing.T) {
	a, b := processes(t)
	done, err := a.Polling(t.Context(), alice, "PHONE", Online)
	a.ok(err)
	b.await(alice, func(s State) bool { return s.Presence == Online })
	// As long as the poll goes on, the other process hears of it again.
	for range 5 {
		a.pass(11 * time.Second)
		b.passed.Add(int64(11 * time.Second))
		b.await(alice, func(s State) bool { b.Watch(); return s.Presence == Online })
	}
	done()
	for _, h := range []*house{a, b} {
		h.await(alice, func(s State) bool {
			h.pass(time.Minute) // the last message may be on its way still
			return s.Presence == Offline
		})
	}
}

func TestOtherProcessesLearnNewNames(t *testing.T) {
	a, b := processes(t)
	b.await(alice, func(s State) bool { return s.UserID == alice }) // known there
	a.profile(alice, "displayname", "Alice in Wonderland")
	for _, h := range []*house{a, b} {
		h.await(alice, func(s State) bool { return s.DisplayName == "Alice in Wonderland" })
	}
}

func TestNewProcessIsToldWhatOthersKnow(t *testing.T) {
	a, _ := processes(t)
	a.ok(a.Set(t.Context(), alice, Unavailable, "since long"))
	channel := replica.New(a.pool, slog.New(slog.DiscardHandler))
	late := houseOn(t, a.pool, channel)
	late.Start(t.Context())
	t.Cleanup(late.Stop)
	late.ok(channel.Start(t.Context()))
	t.Cleanup(channel.Stop)
	late.await(alice, func(s State) bool { return s.StatusMsg == "since long" })
}
