package journal

import (
	"fmt"
	"sync"
	"testing"
)

func isWoken(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestListenersAreWokenWhenConcerned(t *testing.T) {
	t.Parallel()
	j := started(t, notesPool(t), Options{})
	follow := func(topics ...Topic) *Listener {
		l := j.Listen()
		t.Cleanup(l.Close)
		for _, topic := range topics {
			l.Follow(topic)
			l.Follow(topic) // once more changes nothing
		}
		return l
	}
	room1, room2, alice := Topic{Room: 1}, Topic{Room: 2}, Topic{User: "alice"}
	listeners := map[string]*Listener{
		"nothing": follow(),
		"room 1":  follow(room1),
		"room 2":  follow(room2),
		"both":    follow(room1, room2),
		"alice":   follow(alice),
		"all":     follow(room1, room2, alice),
		"left":    follow(room1, alice),
	}
	listeners["left"].Unfollow(room1)
	listeners["left"].Unfollow(room2) // was never followed
	for _, c := range []struct {
		w     *Write
		woken []string
	}{
		{note(1, "a"), []string{"room 1", "both", "all"}},
		{note(2, "b"), []string{"room 2", "both", "all"}},
		{note(3, "c"), nil},
		{privateNote("alice", "d"), []string{"alice", "all", "left"}},
		{privateNote("bob", "e"), nil},
		{&Write{Entries: append(note(1, "f").Entries, note(2, "g").Entries...)}, []string{"room 1", "room 2", "both", "all"}},
	} {
		channels := map[string]<-chan struct{}{}
		for name, l := range listeners {
			channels[name] = l.Woken()
		}
		body := c.w.Entries[0].Value
		commit(t, j, c.w)
		want := map[string]bool{}
		for _, name := range c.woken {
			want[name] = true
		}
		for name, ch := range channels {
			if isWoken(ch) != want[name] { // listeners are woken before the write is answered
				t.Errorf("note %s: %s is woken: %t", body, name, isWoken(ch))
			}
			if isWoken(listeners[name].Woken()) {
				t.Errorf("note %s: the next channel of %s is closed already", body, name)
			}
		}
	}
}

func TestClosedListenerWakesItsWaitersAndFollowsNothing(t *testing.T) {
	t.Parallel()
	j := New(nil, Options{})
	l := j.Listen()
	l.Follow(Topic{Room: 1})
	l.Follow(Topic{User: "alice"})
	woken := l.Woken()
	l.Close()
	l.Close()
	l.Follow(Topic{Room: 2})
	if !isWoken(woken) || !isWoken(l.Woken()) {
		t.Error("a reader of a closed listener would wait for ever")
	}
	j.publish([]*Entry{{Position: 1, Topics: []Topic{{Room: 1}}}, {Position: 2, Topics: []Topic{{Room: 2}}}})
	if n := len(j.notifier.listeners); n != 0 {
		t.Errorf("%d topics are kept", n)
	}
}

func TestResetWakesEverybody(t *testing.T) {
	t.Parallel()
	j := New(nil, Options{})
	l, idle := j.Listen(), j.Listen()
	defer l.Close()
	defer idle.Close()
	l.Follow(Topic{Room: 1})
	l.Follow(Topic{Room: 2})
	woken := l.Woken()
	j.reset(5)
	if !isWoken(woken) || isWoken(idle.Woken()) {
		t.Error("a listener was not woken, or one that follows nothing was")
	}
}

// In TestNoWakeUpIsLost many listeners wait, each in the order of calls that Woken
// requires, while many write, and other listeners come and go.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	j := started(t, notesPool(t), Options{GroupWrites: 5, Watch: never})
	const rooms, waiters, each = 8, 4, 50
	ctx := within(t)
	var wg sync.WaitGroup
	for room := range RoomNID(rooms) {
		for range waiters {
			wg.Go(func() {
				l := j.Listen()
				defer l.Close()
				l.Follow(Topic{Room: room})
				var since Position
				for seen := 0; seen < each; {
					woken := l.Woken()
					var news []*Entry
					j.Read(func(v View) { news, since = v.About(Topic{Room: room}, since), v.Position })
					if seen += len(news); len(news) > 0 {
						continue
					}
					select {
					case <-woken:
					case <-ctx.Done():
						t.Errorf("room %d: %d of %d were seen", room, seen, each)
						return
					}
				}
			})
		}
		wg.Go(func() {
			for i := range each {
				if err := j.Commit(t.Context(), note(room, fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
				passing := j.Listen()
				passing.Follow(Topic{Room: room})
				passing.Close()
			}
		})
	}
	wg.Wait()
	if n := len(j.notifier.listeners); n != 0 {
		t.Errorf("%d topics are kept", n)
	}
}
