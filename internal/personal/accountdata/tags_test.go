package accountdata_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// tags returns the tags of a room as text.
func (h *env) tags(user, room string) string {
	h.T.Helper()
	tags, err := h.Tags(h.T.Context(), user, room)
	h.OK(err)
	text := ""
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		text += name + string(tags[name]) + " "
	}
	return strings.TrimSpace(text)
}

func (h *env) tag(user, room, name, content string) {
	h.T.Helper()
	h.OK(h.SetTag(h.T.Context(), user, room, name, json.RawMessage(content)))
}

func TestTags(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
	if got := h.tags(alice, room); got != "" {
		t.Errorf("at first: %s", got)
	}
	h.tag(alice, room, "m.favourite", `{"order":0.25,"more":"kept"}`)
	h.tag(alice, room, "u.Work & Ü", `{}`)
	h.tag(bob, room, "u.his", `{}`)
	if got, want := h.tags(alice, room), `m.favourite{"more":"kept","order":0.25} u.Work & Ü{}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := h.tags(alice, other); got != "" {
		t.Errorf("of another room: %s", got)
	}
	if got, want := h.get(alice, room, "m.tag"), `{"tags":{"m.favourite":{"more":"kept","order":0.25},"u.Work & Ü":{}}}`; got != want {
		t.Errorf("as account data: %s", got)
	}
	h.tag(alice, room, "m.favourite", `{"order":1}`)
	h.OK(h.DeleteTag(t.Context(), alice, room, "u.Work & Ü"))
	if got, want := h.tags(alice, room), `m.favourite{"order":1}`; got != want {
		t.Errorf("in the end %s, want %s", got, want)
	}
	before := h.Journal.Position()
	h.OK(h.DeleteTag(t.Context(), alice, room, "u.never"))
	if h.Journal.Position() != before {
		t.Error("deleting what is not there is told to clients")
	}
}

func TestBadTags(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	set := func(room, name, content string) error {
		return h.SetTag(t.Context(), alice, room, name, json.RawMessage(content))
	}
	matrixtest.WantCode(t, set(room, "", `{}`), matrix.InvalidParam, "no name")
	matrixtest.WantCode(t, set(room, strings.Repeat("x", 256), `{}`), matrix.InvalidParam, "a long name")
	matrixtest.WantCode(t, set(room, "u.x", `{"order":"first"}`), matrix.BadJSON, "an order in words")
	matrixtest.WantCode(t, set(room, "u.x", `[]`), matrix.BadJSON, "a list")
	matrixtest.WantCode(t, set("!unknown:localhost", "u.x", `{}`), matrix.NotFound, "an unknown room")
	matrixtest.WantCode(t, set("nonsense", "u.x", `{}`), matrix.InvalidParam, "no room")
	matrixtest.WantCode(t, h.DeleteTag(t.Context(), alice, "!unknown:localhost", "u.x"), matrix.NotFound, "an unknown room")
	_, err := h.Tags(t.Context(), alice, "!unknown:localhost")
	matrixtest.WantCode(t, err, matrix.NotFound, "an unknown room")
	h.OK(set(room, strings.Repeat("x", 255), `{}`))
	matrixtest.WantCode(t, set(room, "u.x", `{"x":"`+strings.Repeat("x", 64<<10)+`"}`), matrix.TooLarge, "too much")
}

// A client may set m.tag as any other account data. What has not its form is
// replaced.
func TestTagsOverOtherContent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.set(alice, room, "m.tag", `{"tags":{"u.a":{}}}`)
	h.tag(alice, room, "u.b", `{}`)
	if got := h.tags(alice, room); got != `u.a{} u.b{}` {
		t.Errorf("got %s", got)
	}
	for _, content := range []string{`{"tags":["u.a"]}`, `{}`, `{"tags":null}`} {
		h.set(alice, room, "m.tag", content)
		if got := h.tags(alice, room); got != `` {
			t.Errorf("of %s: %s", content, got)
		}
		h.tag(alice, room, "u.b", `{}`)
		if got := h.tags(alice, room); got != `u.b{}` {
			t.Errorf("over %s: %s", content, got)
		}
	}
}

// Of tags that are set at once, on two processes, none is lost.
func TestTagsAtOnce(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	processes := []*env{envOn(t, pool), envOn(t, pool)}
	room := processes[0].Public()
	const writers, each = 6, 5
	var all sync.WaitGroup
	for w := range writers {
		h := processes[w%2]
		all.Go(func() {
			for n := range each {
				if err := h.SetTag(t.Context(), alice, room, fmt.Sprintf("u.%d.%d", w, n), json.RawMessage(`{}`)); err != nil {
					t.Errorf("set: %v", err)
				}
				if n%2 == 1 {
					if err := h.DeleteTag(t.Context(), alice, room, fmt.Sprintf("u.%d.%d", w, n-1)); err != nil {
						t.Errorf("delete: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	tags, err := processes[0].Tags(t.Context(), alice, room)
	processes[0].OK(err)
	if want := writers * (each - each/2); len(tags) != want {
		t.Errorf("%d tags are left, want %d: %v", len(tags), want, slices.Sorted(maps.Keys(tags)))
	}
}
