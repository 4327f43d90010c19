package search_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/search"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// TestIndexOfOlderVersionsIsWrittenAnew has more rows of an older version than are rewritten
// at once, with each character by itself, and one that was redacted meanwhile.
func TestIndexOfOlderVersionsIsWrittenAnew(t *testing.T) {
	t.Parallel()
	before := roomstest.Open(t, roomstest.Options{})
	before.Run()
	room := before.Public()
	before.Send(alice, room, "今天天气很好 word")
	id := before.Send(alice, room, "天气 gone")
	for i := range 600 {
		before.Send(alice, room, fmt.Sprint("word ", i))
	}
	_, err := before.Pool.Exec(t.Context(), `
		INSERT INTO search_index (event_nid, place, room_nid, sender, key, has_url, words)
		SELECT event_nid, place, room_nid, sender, 'content.body', false, CASE
			WHEN event_id = $1 THEN $$'天':1 '气':2 'gone':3$$
			WHEN convert_from(json, 'UTF8') LIKE '%天气%' THEN $$'今':1 '天':2,3 '气':4 '很':5 '好':6 'word':7$$
			ELSE $$'word':1$$ END::tsvector
		FROM events WHERE type = 'm.room.message'`, id)
	before.OK(err)
	_, err = before.Pool.Exec(t.Context(), `
		INSERT INTO followers (name, position) SELECT 'search', position FROM journal;
		INSERT INTO search_rewriting (before, total) SELECT max(event_nid) + 1, count(*) FROM search_index`)
	before.OK(err)
	before.Redact(alice, room, id, "")
	h := envOn(t, before.Pool)
	r := h.search(alice, search.Criteria{Term: "word"})
	if r.Count != 601 {
		t.Errorf("%d are found meanwhile", r.Count)
	}
	h.Send(alice, room, "天气 of now")
	matrixtest.Until(t, "all are written anew", func() bool {
		var left int
		h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM search_rewriting`).Scan(&left))
		return left == 0
	})
	matrixtest.Equal(t, "found", h.find(alice, "天气"), []string{"天气 of now", "今天天气很好 word"})
}

func TestSearchGoesAcrossUpgrades(t *testing.T) {
	h := newEnv(t)
	create := func(predecessor string) string {
		return h.Create(alice, rooms.CreateRequest{Preset: "public_chat", CreationContent: map[string]json.RawMessage{
			"predecessor": json.RawMessage(`{"room_id":"` + predecessor + `","event_id":"$x"}`),
		}})
	}
	first := h.Public(bob)
	second := create(first)
	third := create(second)
	other := create("!nowhere:localhost")
	for i, room := range []string{first, second, third, other} {
		h.Send(alice, room, fmt.Sprint("word ", i))
	}
	h.Join(bob, third)
	for user, want := range map[string][]string{alice: {"word 2", "word 1", "word 0"}, bob: {"word 2"}} {
		c := search.Criteria{Term: "word", Order: search.OrderRecent, Filter: &timeline.EventFilter{Rooms: &[]string{third}}}
		matrixtest.Equal(t, user, texts(h.search(user, c)), want)
	}
}
