package httppusher

import (
	"strconv"
	"testing"
	"time"

	"homeserver/internal/clock"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms"
)

// refuse has a gateway answer with an error so many times.
func (g *gateway) refuse(times int) {
	for range times {
		g.answers <- answer{status: 500, body: `{"errcode":"M_UNKNOWN"}`}
	}
}

// recover ends that.
func (g *gateway) recover() {
	for {
		select {
		case <-g.answers:
		default:
			return
		}
	}
}

// asks waits until the gateway was asked so many times.
func (g *gateway) asks(times int) {
	g.t.Helper()
	for range times {
		select {
		case <-g.asked:
		case <-time.After(matrixtest.Patience):
			g.t.Fatal("the gateway is not asked")
		}
	}
}

func TestGatewayThatFailsIsAskedAgain(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.refuse(3)
	first := h.Send(alice, room, "one")
	g.asks(2)
	second := h.Send(alice, room, "two")
	g.want(first, 2)
	g.want(second, 2)
	g.want(h.Send(alice, room, "three"), 3)
}

func TestGatewayIsAskedAgainAsSoonAsTheClockIsMoved(t *testing.T) {
	c := &clock.Clock{}
	h := newEnv(t, func(s *Service) {
		s.o.Clock, s.now = c, c.Now
		s.backoff = backoff{first: time.Hour, most: time.Hour, patience: 24 * time.Hour}
	})
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.refuse(1)
	h.Send(alice, room, "one")
	g.asks(1)
	matrixtest.Until(t, "the failure is noted", func() bool {
		failing := false
		h.OK(h.push.HTTPPushersOf(t.Context(), []string{bob}, func(p *push.HTTPPusher) { failing = p.Attempts > 0 }))
		return failing
	})
	c.Advance(2 * time.Hour)
	g.asks(1)
}

func TestWhatIsReadWhileAGatewayFailsIsNotPushed(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.refuse(5)
	h.Send(alice, room, "one")
	g.asks(1)
	h.read(bob, room, h.Send(alice, room, "two"))
	// What is left to say is that nothing is unread.
	g.wantBadge(0)
	g.want(h.Send(alice, room, "three"), 1)
}

func TestNotificationsSurviveARestart(t *testing.T) {
	h := newEnv(t)
	g, well := newGateway(t), newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	h.pusher(carol, "carol", well, nil)
	g.refuse(1000)
	first := h.Send(alice, room, "one")
	well.want(first, 1)
	g.asks(2)
	h.pushers.Stop()
	second := h.Send(alice, room, "nobody sends at the moment")
	g.recover()
	again := envOn(t, h.Pool)
	g.want(first, 2)
	g.want(second, 2)
	well.want(second, 2)
	third := again.Send(alice, room, "three")
	g.want(third, 3)
	well.want(third, 3)
}

// What has not been looked at when the server is killed is read from the database.
func TestEventsBeforeTheLiveWindowArePushed(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.want(h.Send(alice, room, "one"), 1)
	h.pushers.Stop()
	missed := h.Send(alice, room, "two")
	h.Invite(alice, h.Create(alice, rooms.CreateRequest{}), bob)
	again := envOn(t, h.Pool)
	g.want(missed, 3)
	if got := g.next(); !got.UserIsTarget || got.Counts["unread"] != 3 {
		t.Errorf("got %v", got.raw)
	}
	g.want(again.Send(alice, room, "three"), 4)
}

func TestSlowGatewayHoldsUpNobodyElse(t *testing.T) {
	h := newEnv(t)
	slow, fast := newGateway(t), newGateway(t)
	room := h.group()
	h.pusher(bob, "slow", slow, nil)
	h.pusher(bob, "fast", fast, nil)
	h.pusher(carol, "other", slow, nil)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for range 100 {
		slow.answers <- answer{status: 200, until: never}
	}
	for n := range 20 {
		fast.want(h.Send(alice, room, "hello"), n+1)
	}
	if len(slow.got) > 0 {
		t.Error("the slow gateway was not slow")
	}
}

func TestOnlyTheNewestArePushedAfterAnOutage(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.refuse(1000)
	h.Send(alice, room, "the gateway is down")
	g.asks(1)
	var ids []string
	for n := range 60 {
		ids = append(ids, h.Send(alice, room, strconv.Itoa(n)))
	}
	h.handled()
	g.recover()
	for _, id := range ids[10:] {
		if got := g.nextEvent(); got.EventID != id {
			t.Fatalf("got %v, want %s", got.raw, id)
		}
	}
}

func TestNotificationsAreGivenUpButNotThePusher(t *testing.T) {
	h := newEnv(t, func(s *Service) { s.backoff.patience = 0 })
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.refuse(2)
	h.Send(alice, room, "given up")
	g.asks(2)
	g.wantBadge(1) // the number is told all the same
	h.settled(bob)
	g.want(h.Send(alice, room, "later"), 2)
}

func TestOneOfTwoProcessesSends(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	other := envOn(t, h.Pool)
	for n := range 10 {
		on := []*env{h, other}[n%2]
		g.want(on.Send(alice, room, "hello"), n+1)
	}
	// A pusher that is set at one process gets what is sent at the other.
	late := newGateway(t)
	h.pusher(carol, "late", late, nil)
	late.want(other.Send(alice, room, "hello"), 11)
	g.next()
	other.pusher(carol, "later", late, nil)
	id := h.Send(alice, room, "hello")
	late.want(id, 12)
	late.want(id, 12)
	g.next()
	h.pushers.Stop()
	g.want(other.Send(alice, room, "the other one goes on"), 13)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 13: time.Hour, 1000: time.Hour} {
		if got := usualBackoff.after(attempts); got > want || got < want*3/4 {
			t.Errorf("after %d attempts it is %v", attempts, got)
		}
	}
}
