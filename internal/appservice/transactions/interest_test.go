package transactions

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
)

func TestRoomsAndAliasesOfAServiceConcernIt(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	aliased := []string{"namespaces:", "  users: []", `  aliases: [{exclusive: true, regex: "#irc_.*"}]`}
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url, aliased...)})
	var want []string
	named := h.Create(alice, rooms.CreateRequest{AliasName: "irc_new"})
	for _, e := range h.History(alice, named) {
		want = append(want, e.ID)
	}
	room := h.Public()
	h.Send(alice, room, "before it has the alias")
	h.looked("irc")
	ctx := t.Context()
	h.OK(h.Rooms.CreateAlias(ctx, alice, "#irc_room:localhost", room))
	want = append(want, h.Send(alice, room, "with the alias"))
	h.OK(h.Rooms.CreateAlias(ctx, alice, "#other:localhost", room))
	want = append(want, h.Send(alice, room, "with another, too"))
	if got := p.until(want[len(want)-1]); !slices.Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	h.OK(h.Rooms.DeleteAlias(ctx, alice, "#irc_room:localhost", false))
	l := h.sending.byID["irc"]
	matrixtest.Until(t, "the database has told of the deletion", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		r, known := l.rooms.Peek(h.NID(room))
		return l.allOutdated || l.outdated[h.NID(room)] || !known || !r.named
	})
	h.Send(alice, room, "without the alias")
	end := h.Send(alice, named, "end")
	if got := p.until(end); !slices.Equal(got, []string{end}) {
		t.Errorf("got %s, want %s", got, end)
	}
}

func TestRoomIDsOfAServiceConcernIt(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url, "namespaces:", `  rooms: [{exclusive: false, regex: "!.*"}]`)})
	id := h.Send(alice, h.Create(alice, rooms.CreateRequest{}), "in any room")
	if got := p.eventsUntil(id); got[0].Type != event.TypeCreate {
		t.Errorf("the first event is %s", got[0].Type)
	}
}

// Users of another server are nobody's, although an expression matches them.
func TestOnlyLocalUsersAreOfAService(t *testing.T) {
	t.Parallel()
	r := register(t, "irc", "http://localhost:1", "namespaces:", `  users: [{exclusive: false, regex: "@.*"}]`)
	if r.OwnsUser("@a:elsewhere.example") || !r.OwnsUser("@a:localhost") {
		t.Error("the namespace does not end at this server")
	}
}

// What is sent is what clients get, with the state that goes with invitations; an event that was
// redacted meanwhile is sent redacted.
func TestEventsAsClientsGetThem(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url)}
	h := start(t, nil, services)
	room := h.Create(alice, rooms.CreateRequest{Name: "Tea"})
	h.Invite(alice, room, ghost)
	events := p.eventsUntil(h.newest(alice, room))
	invite := events[0]
	state, _ := invite.Unsigned["invite_room_state"].([]any)
	kinds := map[string]bool{}
	for _, one := range state {
		kinds[one.(map[string]any)["type"].(string)] = true
	}
	for _, kind := range []string{"m.room.name", "m.room.create", "m.room.join_rules", "m.room.member"} {
		if !kinds[kind] {
			t.Errorf("the state beside the invitation has no %s: %v", kind, state)
		}
	}
	h.Join(ghost, room)
	joined := p.eventsUntil(h.newest(alice, room))[0]
	if prev, _ := joined.Unsigned["prev_content"].(map[string]any); prev["membership"] != "invite" || joined.StateKey == nil || *joined.StateKey != ghost {
		t.Errorf("got %+v", joined)
	}
	h.sending.Stop()
	secret := h.Send(alice, room, "secret")
	redaction := h.Redact(alice, room, secret, "a mistake")
	start(t, h.Pool, services)
	for _, e := range p.eventsUntil(redaction) {
		if e.EventID == secret && (len(e.Content) > 0 || e.Unsigned["redacted_because"] == nil) {
			t.Errorf("got %+v", e)
		}
	}
}

func TestNewServicesBeginNowAndOthersAreForgotten(t *testing.T) {
	t.Parallel()
	p, silent := newPeer(t), newPeer(t)
	h := start(t, nil, nil)
	room := h.Public(ghost)
	h.Send(alice, room, "before there is a service")
	services := []*registration.Registration{register(t, "irc", p.url), register(t, "mute", "null", "namespaces:", `  users: [{exclusive: false, regex: "@.*"}]`)}
	with := start(t, h.Pool, services)
	first := with.Send(alice, room, "one")
	if got := p.until(first); !slices.Equal(got, []string{first}) {
		t.Errorf("got %s, want %s", got, first)
	}
	with.sending.Stop()
	without := start(t, h.Pool, nil)
	var n int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM app_service_progress`).Scan(&n))
	if n != 0 {
		t.Errorf("%d services are remembered", n)
	}
	without.Send(alice, room, "while it was not registered")
	again := start(t, h.Pool, services)
	last := again.Send(alice, room, "two")
	if got := p.until(last); !slices.Equal(got, []string{last}) {
		t.Errorf("got %s, want %s", got, last)
	}
	if len(silent.asked) > 0 {
		t.Error("a service without a URL is asked")
	}
}

func TestServiceAtASocket(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(p.serve)} //nolint:gosec // it serves one test
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	h := start(t, nil, []*registration.Registration{register(t, "irc", "unix://"+path)})
	p.until(h.newest(alice, h.Public(ghost)))
}

// Of several processes one sends, and another goes on when it ends. Each hears of calls and of
// aliases in the others.
func TestAnotherProcessGoesOn(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url, "namespaces:", `  users: [{exclusive: true, regex: "@_irc_.*"}]`,
		`  aliases: [{exclusive: true, regex: "#irc_.*"}]`)}
	long := func(h *env) { h.sending.backoff.first, h.sending.backoff.most = 1<<40, 1<<40 }
	one := start(t, nil, services, long)
	two := start(t, one.Pool, services, long)
	matrixtest.Until(t, "the processes hear of each other", func() bool { return !one.channel.Alone() && !two.channel.Alone() })
	room := one.Public(ghost)
	p.until(one.newest(alice, room))
	p.until(two.Send(alice, room, "in the other process"))
	p.refuses(500, 1)
	first := two.Send(alice, room, "one")
	matrixtest.Until(t, "the service fails", func() bool { return one.sending.byID["irc"].failing.Load() })
	two.sending.Alive("irc")
	p.until(first)
	named := two.Public()
	two.OK(two.Rooms.CreateAlias(t.Context(), alice, "#irc_room:localhost", named))
	p.until(two.Send(alice, named, "by its alias"))
	one.sending.Stop()
	last := one.Send(alice, room, "after that")
	if got := p.until(last); got[len(got)-1] != last {
		t.Errorf("got %s", got)
	}
	if !two.sending.leading.Load() {
		t.Error("nobody leads")
	}
}

// step does something at random to rooms, which may be refused.
func (h *env) step(random *rand.Rand, list []string) {
	h.T.Helper()
	ctx, room := h.T.Context(), list[random.IntN(len(list))]
	who := []string{bob, ghost, other, bot}[random.IntN(4)]
	var err error
	switch random.IntN(5) {
	case 0:
		err = h.Rooms.Leave(ctx, who, room, "")
	case 1:
		err = h.Rooms.Invite(ctx, alice, room, who, "")
	case 2, 3:
		err = h.Rooms.Join(ctx, who, room, "")
	default:
		h.Send(alice, room, fmt.Sprint("message ", random.IntN(1000)))
	}
	if _, refused := errors.AsType[*matrix.Error](err); !refused {
		h.OK(err)
	}
}

// model works out slowly which events concern a service.
func (h *env) model(r *registration.Registration, list []string) (want []string) {
	h.T.Helper()
	type placed struct {
		at journal.Position
		id string
	}
	var all []placed
	for _, room := range list {
		in := map[string]bool{}
		for _, e := range h.History(alice, room) {
			concerned := len(in) > 0 || r.OwnsUser(e.Sender)
			if e.Type == event.TypeMember && r.OwnsUser(*e.StateKey) {
				concerned = true
				if delete(in, *e.StateKey); e.Membership() == event.Join {
					in[*e.StateKey] = true
				}
			}
			if concerned {
				all = append(all, placed{e.Position, e.ID})
			}
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return int(a.at - b.at) })
	for _, one := range all {
		want = append(want, one.id)
	}
	return want
}

// However much of it is in memory, and whenever the work begins anew, a service gets what a slow
// model says, each event once and in order.
func TestRandomHistoriesAsAModelHasThem(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // the same each time
			p := newPeer(t)
			services := []*registration.Registration{register(t, "irc", p.url)}
			window := []int{0, 1, 4000}[seed%3]
			h := startWithWindow(t, window, nil, services)
			list := []string{h.Public(), h.Public(bob), h.Public(ghost)}
			for round := range 4 {
				for range 25 {
					h.step(random, list)
				}
				if round < 3 {
					h.sending.Stop()
					for range random.IntN(30) {
						h.step(random, list)
					}
					h = startWithWindow(t, window, h.Pool, services)
				}
			}
			h.Join(ghost, list[0])
			want := h.model(services[0], list)
			if got := p.until(want[len(want)-1]); !slices.Equal(got, want) {
				t.Errorf("got %d events %s, want %d %s", len(got), got, len(want), want)
			}
		})
	}
}
