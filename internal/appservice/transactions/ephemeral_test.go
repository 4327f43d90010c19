package transactions

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/rooms"
)

// ephemeral gathers what is not durable until some has come, as texts.
func (p *peer) ephemeral(until ...string) (texts []string) {
	p.t.Helper()
	missing := func(text string) bool { return !contains(texts, text) }
	for slices.ContainsFunc(until, missing) {
		got := p.next()
		for _, e := range slices.Concat(got.Ephemeral, got.Old) {
			texts = append(texts, describe(e))
		}
	}
	return texts
}

func describe(e sent) string {
	switch e.Type {
	case "m.typing":
		return fmt.Sprint("typing ", e.RoomID, " ", e.Content["user_ids"])
	case "m.presence":
		return fmt.Sprint("presence ", e.Sender, " ", e.Content["presence"])
	}
	text := "receipt " + e.RoomID
	for id, types := range e.Content {
		for typ, users := range types.(map[string]any) {
			for user := range users.(map[string]any) {
				text += " " + id + " " + typ + " " + user
			}
		}
	}
	return text
}

func TestEphemeralDataReachServicesThatWantThem(t *testing.T) {
	t.Parallel()
	stable, old, none := newPeer(t), newPeer(t), newPeer(t)
	users := []string{"namespaces:", `  users: [{exclusive: false, regex: "@_irc_.*"}]`}
	h := start(t, nil, []*registration.Registration{
		register(t, "irc", stable.url, append(users, "receive_ephemeral: true")...),
		register(t, "old", old.url, append(users, "de.sorunome.msc2409.push_ephemeral: true")...),
		register(t, "none", none.url, users...),
	})
	room := h.Public(ghost, bob)
	apart := h.Create(alice, rooms.CreateRequest{})
	first := h.Send(alice, room, "one")
	hidden := h.Send(alice, apart, "the service has nobody here")
	ctx := t.Context()
	h.OK(h.receipts.Send(ctx, alice, apart, receipts.Read, hidden, nil))
	h.OK(h.typing.Set(ctx, alice, apart, true, 0))
	h.OK(h.receipts.Send(ctx, bob, room, receipts.ReadPrivate, first, nil))
	h.OK(h.receipts.Send(ctx, ghost, room, receipts.ReadPrivate, first, nil))
	h.OK(h.receipts.Send(ctx, bob, room, receipts.Read, first, nil))
	h.OK(h.typing.Set(ctx, bob, room, true, 0))
	h.OK(h.presence.Set(ctx, carol, presence.Online, ""))
	h.OK(h.presence.Set(ctx, bob, presence.Online, ""))
	want := []string{
		"receipt " + room + " " + first + " m.read.private " + ghost,
		"receipt " + room + " " + first + " m.read " + bob,
		"presence " + bob + " online",
	}
	h.OK(h.typing.Set(ctx, bob, room, false, 0))
	h.OK(h.typing.Set(ctx, ghost, room, true, 0))
	last := "typing " + room + " [" + ghost + "]"
	for name, p := range map[string]*peer{"of today": stable, "of old": old} {
		got := p.ephemeral(append(want, last)...)
		for _, text := range got {
			if containsText(text, apart) || containsText(text, carol) || containsText(text, "m.read.private "+bob) {
				t.Errorf("the service %s got %q, which does not concern it", name, text)
			}
		}
	}
	end := h.Send(alice, room, "end")
	for {
		got := none.next()
		if len(got.Ephemeral)+len(got.Old) > 0 {
			t.Errorf("a service that wants none got %s", got.raw)
		}
		if slices.ContainsFunc(got.Events, func(e sent) bool { return e.EventID == end }) {
			break
		}
	}
	if got := stable.eventsUntil(end); len(got) == 0 {
		t.Error("nothing came")
	}
}

// contains reports whether a text has come: of receipts, which may come together, its parts.
func contains(texts []string, text string) bool {
	room, rest, _ := strings.Cut(strings.TrimPrefix(text, "receipt "), " ")
	return slices.ContainsFunc(texts, func(one string) bool {
		return one == text || strings.HasPrefix(one, "receipt "+room) && strings.Contains(one, rest)
	})
}

// Receipts that were set while the server did not send are sent later, from the database.
func TestReceiptsSurviveARestart(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url, "receive_ephemeral: true")}
	h := start(t, nil, services)
	room := h.Public(ghost, bob)
	first := h.Send(alice, room, "one")
	p.eventsUntil(first)
	h.sending.Stop()
	h.OK(h.receipts.Send(t.Context(), bob, room, receipts.Read, first, nil))
	start(t, h.Pool, services)
	p.ephemeral("receipt " + room + " " + first + " m.read " + bob)
}
