package push

import (
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

func BenchmarkEvaluate(b *testing.B) {
	text := newEvent(b, "m.room.message", `{"msgtype":"m.text","body":"`+strings.Repeat("Just some words of no meaning. ", 8)+`","format":"org.matrix.custom.html","m.mentions":{"user_ids":["@carol:localhost"]}}`, nil)
	member := newEvent(b, "m.room.member", `{"membership":"join","displayname":"Carol"}`, new(string(carol)))
	many := &ownRules{}
	for i := range 50 {
		many.Rules[Override] = append(many.Rules[Override], Rule{
			ID: fmt.Sprint(i), Enabled: true, Actions: rawList(nothing),
			Conditions: rawList([]string{match("room_id", fmt.Sprintf("!Muted%d:localhost", i))}),
		})
		many.Rules[Content] = append(many.Rules[Content], Rule{ID: fmt.Sprint(i), Enabled: true, Actions: rawList(plain), Pattern: new(fmt.Sprintf("keyword%d", i))})
		many.Rules[Room] = append(many.Rules[Room], Rule{ID: fmt.Sprintf("!room%d:localhost", i), Enabled: true, Actions: rawList(nothing)})
	}
	for _, bench := range []struct {
		name  string
		rules *Ruleset
		event *timeline.Event
	}{
		{"a message by the predefined rules", defaults(), text},
		{"a member by the predefined rules", defaults(), member},
		{"a message by 150 more", newRuleset(alice, many, 0), text},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			in, l := group(), &look{}
			for b.Loop() {
				bench.rules.evaluate(bench.event, in, l)
			}
		})
	}
}

func BenchmarkNewRuleset(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newRuleset(alice, &ownRules{}, 0)
	}
}

func BenchmarkCounts(b *testing.B) {
	h := envOn(b, nil, journal.Options{})
	var nids []journal.RoomNID
	for range 20 {
		room := h.Public(bob)
		nids = append(nids, h.NID(room))
		for i := range 30 {
			h.Send(alice, room, fmt.Sprint(i))
		}
	}
	at := h.Journal.Position()
	run := func(b *testing.B, s func() *Service) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s().Counts(b.Context(), bob, nids, at); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("20 rooms, known", func(b *testing.B) { run(b, func() *Service { return h.Service }) })
	b.Run("20 rooms with 30 unread, anew", func(b *testing.B) { run(b, h.another) })
}

// A message in a room whose members all wait: it is counted for each of them.
func BenchmarkCountsOfOneMessage(b *testing.B) {
	h := envOn(b, nil, journal.Options{})
	const members = 200
	var users []string
	for i := range members {
		users = append(users, fmt.Sprintf("@user%d:localhost", i))
	}
	room := h.Public(users...)
	nids := []journal.RoomNID{h.NID(room)}
	count := func() {
		at := h.Journal.Position()
		for _, user := range users {
			if _, err := h.Counts(b.Context(), user, nids, at); err != nil {
				b.Fatal(err)
			}
		}
	}
	count()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for _, user := range users {
			h.mark(user, room, func(m *timeline.ReadMarks) { m.Unthreaded = timeline.PlaceOf(h.Journal.Position()) })
		}
		h.Send(alice, room, "a message of the usual length, which is not very long")
		b.StartTimer()
		count()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/count")
}
