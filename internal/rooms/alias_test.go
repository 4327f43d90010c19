package rooms_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

const canonicalAlias = "m.room.canonical_alias"

func (h *house) alias(user, alias, room string) {
	h.t.Helper()
	if err := h.CreateAlias(h.t.Context(), user, alias, room); err != nil {
		h.t.Fatalf("%s makes %s: %v", user, alias, err)
	}
}

// resolves reports the room that an alias points to, "" for none.
func (h *house) resolves(alias string) string {
	h.t.Helper()
	room, err := h.ResolveAlias(h.t.Context(), alias)
	if matrix.IsCode(err, matrix.NotFound) {
		return ""
	}
	h.ok(err)
	return room
}

func TestAliasesPointToRooms(t *testing.T) {
	h := newHouse(t)
	room, other := h.public(bob), h.public()
	for _, name := range []string{"#a:localhost", "#Ä#!%/\\ :localhost", "#" + strings.Repeat("x", 244) + ":localhost"} {
		h.alias(bob, name, room)
		if got := h.resolves(name); got != room {
			t.Errorf("%s points to %q", name, got)
		}
	}
	if h.resolves("#A:localhost") != "" {
		t.Error("aliases do not tell capitals from small letters")
	}
	h.alias(alice, "#other:localhost", other)
	for from, want := range map[string]string{"#a:localhost": room, "#other:localhost": other, other: other, "!none:localhost": "!none:localhost"} {
		got, err := h.Resolve(t.Context(), from)
		h.ok(err)
		if got != want {
			t.Errorf("%s resolves to %s, want %s", from, got, want)
		}
	}
}

// badAliases are texts that are no alias at all.
var badAliases = []string{
	"", "a", "#", "#a", "#:localhost", "#a:", "a:localhost", "!a:localhost", "#a\x00b:localhost", "#a\xff:localhost",
	"#a:local host", "#" + strings.Repeat("x", 250) + ":localhost",
}

func TestWhatIsNoAliasIsInvalid(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	for _, alias := range badAliases {
		expect(t, fmt.Sprintf("create %q", alias), h.CreateAlias(t.Context(), alice, alias, room), matrix.InvalidParam)
		_, err := h.ResolveAlias(t.Context(), alias)
		expect(t, fmt.Sprintf("resolve %q", alias), err, matrix.InvalidParam)
		expect(t, fmt.Sprintf("delete %q", alias), h.DeleteAlias(t.Context(), alice, alias, true), matrix.InvalidParam)
	}
	expect(t, "of another server", h.CreateAlias(t.Context(), alice, "#a:elsewhere.example", room), matrix.InvalidParam)
	_, err := h.ResolveAlias(t.Context(), "#a:elsewhere.example")
	expect(t, "resolve one of another server", err, matrix.NotFound)
}

func TestWhoMayMakeAnAlias(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	ctx := t.Context()
	expect(t, "a stranger", h.CreateAlias(ctx, carol, "#x:localhost", room), matrix.Forbidden)
	expect(t, "no such room", h.CreateAlias(ctx, alice, "#x:localhost", "!none:localhost"), matrix.NotFound)
	expect(t, "no room ID", h.CreateAlias(ctx, alice, "#x:localhost", "none"), matrix.InvalidParam)
	expect(t, "a member", h.CreateAlias(ctx, bob, "#x:localhost", room), "")
	err := h.CreateAlias(ctx, alice, "#x:localhost", h.public())
	expect(t, "one that is taken", err, matrix.Unknown)
	if e, ok := errors.AsType[*matrix.Error](err); !ok || e.HTTPStatus() != http.StatusConflict {
		t.Errorf("a taken alias is answered with %v", err)
	}
	if h.resolves("#x:localhost") != room {
		t.Error("the alias has moved")
	}
}

func TestWhoMayDeleteAnAlias(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob, carol)
	for name, c := range map[string]struct {
		who   string
		admin bool
		code  matrix.Code
	}{
		"who made it":           {bob, false, ""},
		"a moderator":           {alice, false, ""},
		"another member":        {carol, false, matrix.Forbidden},
		"a stranger":            {dave, false, matrix.Forbidden},
		"server administrators": {dave, true, ""},
	} {
		alias := "#" + strings.ReplaceAll(name, " ", "-") + ":localhost"
		h.alias(bob, alias, room)
		expect(t, name, h.DeleteAlias(t.Context(), c.who, alias, c.admin), c.code)
		if gone := h.resolves(alias) == ""; gone != (c.code == "") {
			t.Errorf("%s: the alias is gone: %v", name, gone)
		}
	}
	expect(t, "one that is not there", h.DeleteAlias(t.Context(), alice, "#none:localhost", false), matrix.NotFound)
}

func TestWhoMadeAnAliasMayDeleteItFromOutside(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.alias(bob, "#mine:localhost", room)
	h.set(alice, room, canonicalAlias, "", `{"alias":"#mine:localhost"}`)
	h.leave(bob, room)
	expect(t, "the one who made it", h.DeleteAlias(t.Context(), bob, "#mine:localhost", false), "")
	h.wantContent(alice, room, canonicalAlias, "", `{"alias":"#mine:localhost"}`) // bob may not change that
}

func TestDeletedAliasIsNoLongerPublished(t *testing.T) {
	h := newHouse(t)
	for before, after := range map[string]string{
		`{"alias":"#a:localhost"}`:                                                `{}`,
		`{"alias":"#a:localhost","alt_aliases":["#b:localhost"]}`:                 `{"alt_aliases":["#b:localhost"]}`,
		`{"alias":"#b:localhost","alt_aliases":["#a:localhost"]}`:                 `{"alias":"#b:localhost"}`,
		`{"alias":"#b:localhost","alt_aliases":["#a:localhost","#b:localhost"]}`:  `{"alias":"#b:localhost","alt_aliases":["#b:localhost"]}`,
		`{"alias":"#a:localhost","alt_aliases":["#a:localhost"],"org.example":7}`: `{"org.example":7}`,
		`{"alias":"#b:localhost"}`:                                                `{"alias":"#b:localhost"}`,
	} {
		room := h.public()
		h.alias(alice, "#a:localhost", room)
		h.alias(alice, "#b:localhost", room)
		h.set(alice, room, canonicalAlias, "", before)
		h.ok(h.DeleteAlias(t.Context(), alice, "#a:localhost", false))
		h.wantContent(alice, room, canonicalAlias, "", after)
		if h.resolves("#a:localhost") != "" {
			t.Errorf("after %s the alias is still there", before)
		}
		h.ok(h.DeleteAlias(t.Context(), alice, "#b:localhost", false))
	}
}

func TestModeratorDeletesAnAliasOfARoomThatPublishesNone(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.alias(bob, "#a:localhost", room)
	h.ok(h.DeleteAlias(t.Context(), alice, "#a:localhost", false))
	if got := h.content(alice, room, canonicalAlias, ""); got != "" {
		t.Errorf("the room now has %s", got)
	}
}

func TestPublishedAliasesPointToTheRoom(t *testing.T) {
	h := newHouse(t)
	room, other := h.public(), h.public()
	h.alias(alice, "#here:localhost", room)
	h.alias(alice, "#too:localhost", room)
	h.alias(alice, "#there:localhost", other)
	for content, code := range map[string]matrix.Code{
		`{"alias":"#here:localhost"}`:                                  "",
		`{"alias":"#here:localhost","alt_aliases":["#too:localhost"]}`: "",
		`{"alt_aliases":["#too:localhost","#here:localhost"]}`:         "",
		`{"alias":null}`:                      "",
		`{"alias":""}`:                        "",
		`{}`:                                  "",
		`{"alias":"#there:localhost"}`:        matrix.BadAlias,
		`{"alias":"#none:localhost"}`:         matrix.BadAlias,
		`{"alias":"#here:elsewhere.example"}`: matrix.BadAlias,
		`{"alias":"#here:localhost","alt_aliases":["#there:localhost"]}`: matrix.BadAlias,
		`{"alias":"#there:localhost","ALIAS":"#here:localhost"}`:         matrix.BadAlias,
		`{"Alias":"#there:localhost"}`:                                   "", // means nothing
		`{"alias":"here"}`:                                               matrix.InvalidParam,
		`{"alias":"#a\u0000:localhost"}`:                                 matrix.InvalidParam,
		`{"alt_aliases":["#here:localhost",""]}`:                         matrix.InvalidParam,
		`{"alias":7}`:                                                    matrix.BadJSON,
		`{"alt_aliases":"#here:localhost"}`:                              matrix.BadJSON,
		`{"alt_aliases":[7]}`:                                            matrix.BadJSON,
		`[]`:                                                             matrix.BadJSON,
	} {
		expect(t, content, h.trySet(alice, room, canonicalAlias, "", content), code)
	}
	expect(t, "in no room", h.trySet(alice, "!none:localhost", canonicalAlias, "", `{}`), matrix.Forbidden)
}

func TestPublishedAliasMayDriftAwayAndStay(t *testing.T) {
	h := newHouse(t)
	room, other := h.public(), h.public(bob)
	h.alias(alice, "#a:localhost", room)
	h.alias(alice, "#b:localhost", room)
	h.set(alice, room, canonicalAlias, "", `{"alias":"#a:localhost"}`)
	expect(t, "an administrator deletes it", h.DeleteAlias(t.Context(), dave, "#a:localhost", true), "")
	h.alias(bob, "#a:localhost", other)
	h.set(alice, room, canonicalAlias, "", `{"alias":"#a:localhost","alt_aliases":["#b:localhost"]}`)
	h.set(alice, room, canonicalAlias, "", `{"alt_aliases":["#a:localhost"]}`)
	h.set(alice, room, canonicalAlias, "", `{}`)
	expect(t, "once gone", h.trySet(alice, room, canonicalAlias, "", `{"alias":"#a:localhost"}`), matrix.BadAlias)
	expect(t, "with another state key", h.trySet(alice, room, canonicalAlias, "x", `{"alias":"#a:localhost"}`), matrix.BadAlias)
}

func TestAliasesOfARoom(t *testing.T) {
	h := newHouse(t)
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat", AliasName: "first"})
	h.join(bob, room)
	h.alias(bob, "#second:localhost", room)
	h.alias(alice, "#elsewhere:localhost", h.public())
	list, err := h.Aliases(t.Context(), bob, room)
	h.ok(err)
	equal(t, "aliases", list, []string{"#first:localhost", "#second:localhost"})
	_, err = h.Aliases(t.Context(), carol, room)
	expect(t, "a stranger", err, matrix.Forbidden)
	_, err = h.Aliases(t.Context(), alice, "!none:localhost")
	expect(t, "no such room", err, matrix.Forbidden)
	h.leave(bob, room)
	_, err = h.Aliases(t.Context(), bob, room)
	expect(t, "a former member", err, matrix.Forbidden)
	h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	_, err = h.Aliases(t.Context(), carol, room)
	expect(t, "a stranger, where anybody may look in", err, "")
	none, err := h.Aliases(t.Context(), alice, h.public())
	h.ok(err)
	if none == nil || len(none) != 0 {
		t.Errorf("a room without aliases has %v", none)
	}
}

func TestInviteeOfARoomOpenToInviteesDoesNotSeeItsAliases(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"invited"}`)
	h.invite(alice, room, bob)
	_, err := h.Aliases(t.Context(), bob, room)
	expect(t, "an invitee", err, matrix.Forbidden)
}

func TestOneOfManyMakesTheAlias(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	var wg sync.WaitGroup
	made := make(chan bool, 20)
	for range cap(made) {
		wg.Go(func() {
			err := h.CreateAlias(t.Context(), alice, "#one:localhost", room)
			if err != nil {
				expect(t, "a loser", err, matrix.Unknown)
			}
			made <- err == nil
		})
	}
	wg.Wait()
	close(made)
	winners := 0
	for won := range made {
		if won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d have made the alias", winners)
	}
}

func TestAliasIsDeletedManyTimesAtOnce(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.alias(alice, "#a:localhost", room)
	h.set(alice, room, canonicalAlias, "", `{"alias":"#a:localhost"}`)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { forClient(t, "delete", h.DeleteAlias(t.Context(), alice, "#a:localhost", false)) })
	}
	wg.Wait()
	h.wantContent(alice, room, canonicalAlias, "", `{}`)
	if h.resolves("#a:localhost") != "" {
		t.Error("the alias is still there")
	}
}
