package presence

import (
	"log/slog"
	"testing"
	"time"

	"homeserver/internal/journal/replica"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// processes returns two processes on one database that hear of each other.
func processes(t *testing.T) (a, b *env) {
	t.Helper()
	t.Parallel()
	pool := postgrestest.New(t)
	processes := make([]*env, 2)
	for i := range processes {
		channel := replica.New(pool, slog.New(slog.DiscardHandler))
		processes[i] = envOn(t, pool, channel)
		processes[i].Start(t.Context())
		t.Cleanup(processes[i].Stop)
		processes[i].OK(channel.Start(t.Context()))
		t.Cleanup(channel.Stop)
	}
	for _, h := range processes {
		for h.Others.Alone() { // until it has heard of the other
			h.OK(pool.Ping(t.Context()))
		}
	}
	return processes[0], processes[1]
}

// await waits until a process shows a user so.
func (h *env) await(userID string, is func(State) bool) {
	h.T.Helper()
	matrixtest.Until(h.T, userID+" is shown as expected", func() bool {
		state, err := h.Get(h.T.Context(), userID, userID)
		h.OK(err)
		return is(state)
	})
}

func TestOtherProcessesLearnWhatUsersSet(t *testing.T) {
	a, b := processes(t)
	a.OK(a.Set(t.Context(), alice, Unavailable, "at lunch"))
	b.await(alice, func(s State) bool { return s.Presence == Unavailable && s.StatusMsg == "at lunch" })
	a.clock.Pass(time.Second)
	b.clock.Pass(time.Second)
	b.OK(b.Set(t.Context(), alice, Online, "back"))
	a.await(alice, func(s State) bool { return s.Presence == Online && s.StatusMsg == "back" })
}

func TestWhoPollsOneProcessIsOnlineInAll(t *testing.T) {
	a, b := processes(t)
	done, err := a.Polling(t.Context(), alice, "PHONE", Online)
	a.OK(err)
	b.await(alice, func(s State) bool { return s.Presence == Online })
	// As long as the poll goes on, the other process hears of it again.
	for range 5 {
		a.pass(11 * time.Second)
		b.clock.Pass(11 * time.Second)
		b.await(alice, func(s State) bool { b.Watch(); return s.Presence == Online })
	}
	done()
	for _, h := range []*env{a, b} {
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
	for _, h := range []*env{a, b} {
		h.await(alice, func(s State) bool { return s.DisplayName == "Alice in Wonderland" })
	}
}

func TestNewProcessIsToldWhatOthersKnow(t *testing.T) {
	a, _ := processes(t)
	a.OK(a.Set(t.Context(), alice, Unavailable, "since long"))
	channel := replica.New(a.Pool, slog.New(slog.DiscardHandler))
	late := envOn(t, a.Pool, channel)
	late.Start(t.Context())
	t.Cleanup(late.Stop)
	late.OK(channel.Start(t.Context()))
	t.Cleanup(channel.Stop)
	late.await(alice, func(s State) bool { return s.StatusMsg == "since long" })
}
