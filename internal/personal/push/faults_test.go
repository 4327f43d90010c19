package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// TestErrorsOfTheDatabaseAreInternal: they are told to nobody as errors of Matrix,
// and nothing that was read by half is kept.
func TestErrorsOfTheDatabaseAreInternal(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	nid := h.NID(room)
	h.Send(alice, room, "one")
	who := h.login("bob", "PHONE")
	s := h.another()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Ruleset":       func() error { _, err := s.Ruleset(ctx, bob); return err },
		"RulesEvent":    func() error { _, _, err := s.RulesEvent(ctx, bob); return err },
		"PutRule":       func() error { return s.PutRule(ctx, bob, Room, "x", NewRule{Actions: rawList(nothing)}, Place{}) },
		"DeleteRule":    func() error { return s.DeleteRule(ctx, bob, Room, "x") },
		"SetEnabled":    func() error { return s.SetEnabled(ctx, bob, Room, "x", true) },
		"SetActions":    func() error { return s.SetActions(ctx, bob, Room, "x", rawList(nothing)) },
		"Counts":        func() error { _, err := s.Counts(ctx, bob, []journal.RoomNID{nid}, h.Journal.Position()); return err },
		"Notifications": func() error { _, err := s.Notifications(ctx, NotificationQuery{UserID: bob, Limit: 1}); return err },
		"Pushers":       func() error { _, err := s.Pushers(ctx, bob); return err },
		"SetPusher":     func() error { return s.SetPusher(ctx, bob, who.DeviceID, pusherBody(t, nil)) },
		"delete": func() error {
			return s.SetPusher(ctx, bob, who.DeviceID, pusherBody(t, map[string]string{"kind": "null"}))
		},
	} {
		err := call()
		var public *matrix.Error
		if err == nil || errors.As(err, &public) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Ruleset(t.Context(), bob); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	if got := h.unreadBy(s, bob, nid); got.Main.Notification != 1 {
		t.Errorf("after the fault: %+v", got)
	}
}

// TestErrorsOfOthersReachTheCaller: receipts, ignored users and e-mail addresses.
func TestErrorsOfOthersReachTheCaller(t *testing.T) {
	h := newEnv(t)
	nid := h.NID(h.Public(bob))
	broken := errors.New("broken")
	count := func(o Options) error {
		s := newService(o)
		_, err := s.Counts(t.Context(), bob, []journal.RoomNID{nid}, h.Journal.Position())
		return err
	}
	o := h.options()
	o.ReadUpTo = func(context.Context, string, []journal.RoomNID) (map[journal.RoomNID]timeline.ReadMarks, error) {
		return nil, broken
	}
	if err := count(o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	o = h.options()
	o.Ignored = func(context.Context, string) (map[string]bool, error) { return nil, broken }
	if err := count(o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	o = Options{Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms.Timeline}
	if err := count(o); err != nil {
		t.Errorf("without receipts and ignored users: %v", err)
	}
	o.OwnsEmail = func(context.Context, string, string) (bool, error) { return false, broken }
	s := newService(o)
	q := pusherBody(t, map[string]string{"kind": `"email"`, "app_id": `"m.email"`, "pushkey": `"a@example.org"`, "data": `{}`})
	if err := s.SetPusher(t.Context(), bob, "X", q); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestCountsWhileOthersWrite has several devices of one user count while messages,
// rules and receipts come in.
func TestCountsWhileOthersWrite(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	nid := h.NID(room)
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				counts, err := h.Counts(t.Context(), bob, []journal.RoomNID{nid}, h.Journal.Position())
				if err != nil {
					t.Error(err)
					return
				}
				if n := counts[nid].Main.Notification; n < last {
					t.Errorf("%d after %d", n, last)
				} else {
					last = n
				}
			}
		})
	}
	for w := range 3 {
		writers.Go(func() {
			for i := range 20 {
				if _, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), "m.room.message", []byte(`{"body":"x"}`)); err != nil {
					t.Error(err)
				}
				if w == 0 {
					if err := h.put(bob, Sender, carol, fmt.Sprintf(`{"actions":[{"set_tweak":"sound","value":"%d"}]}`, i), Place{}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	h.wantUnread(bob, room, mainTimeline(60, 0))
}
