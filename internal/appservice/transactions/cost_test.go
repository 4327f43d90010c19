package transactions

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrixtest"
)

// What happens in rooms that are known, whether they concern a service or not, and however many
// are in them, needs no database to find out.
func TestKnownRoomsNeedNoDatabase(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url, "receive_ephemeral: true", "org.matrix.msc3202: true")})
	own, foreign := h.Public(ghost, bob), h.Public(bob)
	p.until(h.Send(alice, own, "one"))
	h.looked("irc")
	h.sending.Stop()
	l := h.sending.byID["irc"]
	l.r = register(t, "irc", p.url, "receive_ephemeral: true") // the counts of keys are read once for each transaction
	h.Send(alice, foreign, "does not concern it")
	id := h.Send(alice, own, "concerns it")
	nothing, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := l.next(nothing)
	if err != nil || got == nil || got.events != 1 || !strings.Contains(string(got.body), id) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A thousand users of a service who join a thousand rooms at once are a few hundred statements, and
// the service is sent all of it.
func TestManyGhostsJoinAtOnce(t *testing.T) {
	matrixtest.Long(t)
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url, "org.matrix.msc3202: true")})
	const number = 1000
	list := make([]string, number)
	for i := range list {
		list[i] = h.Public()
	}
	h.looked("irc")
	began := time.Now()
	var joining sync.WaitGroup
	places := make(chan struct{}, 50)
	for i, room := range list {
		joining.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if err := h.Rooms.Join(t.Context(), fmt.Sprintf("@_irc_%d:localhost", i), room, ""); err != nil {
				t.Errorf("join: %v", err)
			}
		})
	}
	joining.Wait()
	joined := time.Since(began)
	seen, transactions := map[string]bool{}, 0
	for len(seen) < number {
		transactions++
		for _, e := range p.next().Events {
			seen[*e.StateKey] = true
		}
	}
	t.Logf("%d joins took %v, and came after %v in %d transactions", number, joined, time.Since(began), transactions)
}
