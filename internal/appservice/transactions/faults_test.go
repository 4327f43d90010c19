package transactions

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/clock"
	"homeserver/internal/matrixtest"
)

// A service that was away is sent what it has missed in few transactions, whatever came
// meanwhile, in order and each event once.
func TestServiceThatWasAwayCatchesUpInBatches(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url)}
	h := start(t, nil, services)
	room := h.Public(ghost)
	p.until(h.newest(alice, room))
	h.sending.Stop()
	var want []string
	for i := range 250 {
		want = append(want, h.Send(alice, room, fmt.Sprint(i)))
	}
	again := start(t, h.Pool, services)
	want = append(want, again.Send(alice, room, "last"))
	var got []string
	transactions := 0
	for len(got) < len(want) {
		one := p.next()
		if len(one.Events) > maxEvents {
			t.Errorf("a transaction has %d events", len(one.Events))
		}
		for _, e := range one.Events {
			got = append(got, e.EventID)
		}
		transactions++
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d events, want %d, in this order", len(got), len(want))
	}
	if transactions > 5 {
		t.Errorf("251 events came in %d transactions", transactions)
	}
}

// A transaction has no more than its bytes, but for one large event.
func TestTransactionsAreBoundedInBytes(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url)}
	h := start(t, nil, services)
	room := h.Public(ghost)
	p.until(h.newest(alice, room))
	h.sending.Stop()
	last := ""
	for range 40 {
		last = h.Send(alice, room, strings.Repeat("x", 60_000))
	}
	start(t, h.Pool, services)
	for {
		got := p.next()
		if len(got.raw) > maxBytes+70_000 {
			t.Errorf("a transaction has %d bytes", len(got.raw))
		}
		if slices.ContainsFunc(got.Events, func(e sent) bool { return e.EventID == last }) {
			return
		}
	}
}

// Whatever a service does that is not an answer of 200, it gets the same again, and another
// service is not delayed.
func TestServicesThatMisbehave(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"an error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"no permission": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"another success": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"the end of the connection": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, `{"half":`)
			panic(http.ErrAbortHandler)
		},
		"an answer in another language": func(w http.ResponseWriter, _ *http.Request) {
			hijacked, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(hijacked, "220 mail.example ESMTP\r\n")
				_ = hijacked.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newPeer(t), newPeer(t)
			h := start(t, nil, []*registration.Registration{
				register(t, "irc", bad.url), register(t, "good", good.url, "namespaces:", `  users: [{exclusive: false, regex: "@_irc_.*"}]`),
			})
			room := h.Public(ghost)
			bad.until(h.newest(alice, room))
			for len(bad.asked) > 0 {
				<-bad.asked
			}
			for range 3 {
				bad.answers <- answer
			}
			id := h.Send(alice, room, "one")
			good.until(id)
			first := bad.nextAsked()
			for range 3 {
				if again := bad.nextAsked(); again != first {
					t.Errorf("sent %s, and then %s", first, again)
				}
			}
			if got := bad.next(); got.ID != first[0] || len(got.Events) != 1 || got.Events[0].EventID != id {
				t.Errorf("got %+v", got)
			}
			if strings.Count(h.log.Wait(t, "takes what it is sent again"), "does not take what it is sent") != 1 {
				t.Error("the outage is not logged once")
			}
		})
	}
}

func TestEndlessAnswerIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)})
	room := h.Public(ghost)
	p.until(h.newest(alice, room))
	ended := make(chan int64, 1)
	p.answers <- func(w http.ResponseWriter, r *http.Request) {
		var written int64
		for r.Context().Err() == nil {
			n, err := io.WriteString(w, strings.Repeat("x", 1<<10))
			written += int64(n)
			if err != nil {
				break
			}
		}
		ended <- written
	}
	first := h.Send(alice, room, "one")
	for asked := p.nextAsked(); !containsText(asked[1], first); asked = p.nextAsked() {
	}
	p.until(h.Send(alice, room, "two")) // the first is taken, as was said by the status
	select {
	case n := <-ended:
		if n > 64<<20 {
			t.Errorf("%d bytes were taken", n)
		}
	case <-time.After(matrixtest.Patience):
		t.Error("the answer is read for ever")
	}
}

// A service that hangs holds no transaction of the database open, and delays nobody.
func TestServiceThatHangs(t *testing.T) {
	t.Parallel()
	hanging, good := newPeer(t), newPeer(t)
	h := start(t, nil, []*registration.Registration{
		register(t, "irc", hanging.url), register(t, "good", good.url, "namespaces:", `  users: [{exclusive: false, regex: "@_irc_.*"}]`),
	})
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for range 10 {
		hanging.answers <- func(http.ResponseWriter, *http.Request) { <-never }
	}
	room := h.Public(ghost)
	hanging.nextAsked()
	good.until(h.Send(alice, room, "one"))
	// One that others have open at the moment ends; one that waits for the service would not.
	matrixtest.Until(t, "no transaction is open", func() bool {
		var open int
		h.OK(h.Pool.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&open))
		return open == 0
	})
	if len(hanging.asked) > 0 {
		t.Error("the request that hangs was given up meanwhile")
	}
}

func TestServiceOfOldIsFoundAtItsPath(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)})
	p.refuses(http.StatusNotFound, 1)
	room := h.Public(ghost)
	for range 2 {
		got := p.next()
		if want := "/transactions/" + got.ID + "?access_token=hs_irc"; got.path != want {
			t.Errorf("asked at %s, want %s", got.path, want)
		}
		h.Send(alice, room, "more")
	}
}

// A service that calls this server, or is reached by it, is tried again soon.
func TestSignOfLifeEndsTheWaiting(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)}, func(h *env) {
		h.sending.backoff = backoff{first: time.Hour, most: time.Hour, sign: time.Millisecond, patience: 24 * time.Hour}
	})
	p.refuses(500, 2)
	room := h.Public(ghost)
	p.nextAsked()
	matrixtest.Until(t, "the failure is noted", func() bool { return h.sending.byID["irc"].failing.Load() })
	h.sending.Alive("irc")
	p.nextAsked()
	matrixtest.Until(t, "the failure is noted", func() bool {
		var attempts int
		h.OK(h.Pool.QueryRow(t.Context(), `SELECT attempts FROM app_service_progress`).Scan(&attempts))
		return attempts == 2
	})
	h.sending.Alive("nobody")
	h.sending.Reached("irc")
	p.until(h.newest(alice, room))
}

func TestServiceIsTriedAgainAsSoonAsTheClockIsMoved(t *testing.T) {
	t.Parallel()
	p, c := newPeer(t), &clock.Clock{}
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)}, func(h *env) {
		h.sending.o.Clock, h.sending.now = c, c.Now
		h.sending.backoff = backoff{first: time.Hour, most: time.Hour, sign: time.Millisecond, patience: 24 * time.Hour}
	})
	p.refuses(500, 1)
	room := h.Public(ghost)
	p.nextAsked()
	matrixtest.Until(t, "the failure is noted", func() bool { return h.sending.byID["irc"].failing.Load() })
	c.Advance(2 * time.Hour)
	p.until(h.newest(alice, room))
}

// The time until the next attempt survives a restart.
func TestWaitingSurvivesARestart(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url)}
	long := func(h *env) {
		h.sending.backoff = backoff{first: time.Hour, most: time.Hour, sign: time.Millisecond, patience: 24 * time.Hour}
	}
	h := start(t, nil, services, long)
	p.refuses(500, 1)
	room := h.Public(ghost)
	asked := p.nextAsked()
	matrixtest.Until(t, "the failure is noted", func() bool { return h.sending.byID["irc"].failing.Load() })
	h.sending.Stop()
	again := start(t, h.Pool, services, long)
	if len(p.asked) > 0 {
		t.Error("the service is asked again at once")
	}
	matrixtest.Until(t, "the other process knows", func() bool { return again.sending.byID["irc"].failing.Load() })
	again.sending.Alive("irc")
	if got := p.next(); got.ID != asked[0] || got.raw != asked[1] {
		t.Errorf("got %+v, want the transaction of before", got)
	}
	p.until(again.Send(alice, room, "and so on"))
}

func TestServiceThatFailsForTooLongLosesWhatItIsOwed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)}, func(h *env) { h.sending.backoff.patience = 0 })
	p.refuses(500, 3)
	room := h.Public(ghost)
	lost := h.newest(alice, room)
	h.log.Wait(t, "loses what it was to be sent")
	p.recovers()
	h.Send(alice, room, "may be lost, too")
	if got := p.until(h.Send(alice, room, "last")); slices.Contains(got, lost) {
		t.Errorf("got %s", got)
	}
}

// A process that leads no more stores nothing, and goes on when it leads again.
func TestLeaderThatWasDeposedGoesOnAnew(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)})
	room := h.Public(ghost)
	p.until(h.newest(alice, room))
	_, err := h.Pool.Exec(t.Context(), `UPDATE app_service_progress SET leader = 'another'`)
	h.OK(err)
	id := h.Send(alice, room, "one")
	if got := p.until(id); got[len(got)-1] != id {
		t.Errorf("got %s", got)
	}
}
