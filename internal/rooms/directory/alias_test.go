package directory_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
)

func (h *env) alias(user, alias, room string) {
	h.T.Helper()
	if err := h.Rooms.CreateAlias(h.T.Context(), user, alias, room); err != nil {
		h.T.Fatalf("%s makes %s: %v", user, alias, err)
	}
}

// resolves reports the room that an alias points to, "" for none.
func (h *env) resolves(alias string) string {
	h.T.Helper()
	room, err := h.Rooms.Directory.ResolveAlias(h.T.Context(), alias)
	if matrix.IsCode(err, matrix.NotFound) {
		return ""
	}
	h.OK(err)
	return room
}

func TestAliasesPointToRooms(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public()
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
		got, err := h.Rooms.Directory.Resolve(t.Context(), from)
		h.OK(err)
		if got != want {
			t.Errorf("%s resolves to %s, want %s", from, got, want)
		}
	}
}

// badAliases are texts that are no aliases.
var badAliases = []string{
	"", "a", "#", "#a", "#:localhost", "#a:", "a:localhost", "!a:localhost", "#a\x00b:localhost", "#a\xff:localhost",
	"#a:local host", "#" + strings.Repeat("x", 250) + ":localhost",
}

func TestWhatIsNoAliasIsInvalid(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, alias := range badAliases {
		matrixtest.WantCode(t, h.Rooms.CreateAlias(t.Context(), alice, alias, room), matrix.InvalidParam, fmt.Sprintf("create %q", alias))
		_, err := h.Rooms.Directory.ResolveAlias(t.Context(), alias)
		matrixtest.WantCode(t, err, matrix.InvalidParam, fmt.Sprintf("resolve %q", alias))
		matrixtest.WantCode(t, h.Rooms.DeleteAlias(t.Context(), alice, alias, true), matrix.InvalidParam, fmt.Sprintf("delete %q", alias))
	}
	matrixtest.WantCode(t, h.Rooms.CreateAlias(t.Context(), alice, "#a:elsewhere.example", room), matrix.InvalidParam, "of another server")
	_, err := h.Rooms.Directory.ResolveAlias(t.Context(), "#a:elsewhere.example")
	matrixtest.WantCode(t, err, matrix.NotFound, "resolve one of another server")
}

func TestWhoMayMakeAnAlias(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	ctx := t.Context()
	matrixtest.WantCode(t, h.Rooms.CreateAlias(ctx, carol, "#x:localhost", room), matrix.Forbidden, "a stranger")
	matrixtest.WantCode(t, h.Rooms.CreateAlias(ctx, alice, "#x:localhost", "!none:localhost"), matrix.NotFound, "no such room")
	matrixtest.WantCode(t, h.Rooms.CreateAlias(ctx, alice, "#x:localhost", "none"), matrix.InvalidParam, "no room ID")
	matrixtest.WantCode(t, h.Rooms.CreateAlias(ctx, bob, "#x:localhost", room), "", "a member")
	err := h.Rooms.CreateAlias(ctx, alice, "#x:localhost", h.Public())
	matrixtest.WantCode(t, err, matrix.Unknown, "one that is taken")
	if e, ok := errors.AsType[*matrix.Error](err); !ok || e.HTTPStatus() != http.StatusConflict {
		t.Errorf("a taken alias is answered with %v", err)
	}
	if h.resolves("#x:localhost") != room {
		t.Error("the alias has moved")
	}
}

func TestWhoMayDeleteAnAlias(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
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
		matrixtest.WantCode(t, h.Rooms.DeleteAlias(t.Context(), c.who, alias, c.admin), c.code, name)
		if gone := h.resolves(alias) == ""; gone != (c.code == "") {
			t.Errorf("%s: the alias is gone: %v", name, gone)
		}
	}
	matrixtest.WantCode(t, h.Rooms.DeleteAlias(t.Context(), alice, "#none:localhost", false), matrix.NotFound, "one that is not there")
}

func TestWhoMadeAnAliasMayDeleteItFromOutside(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.alias(bob, "#mine:localhost", room)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#mine:localhost"}`)
	h.Leave(bob, room)
	matrixtest.WantCode(t, h.Rooms.DeleteAlias(t.Context(), bob, "#mine:localhost", false), "", "the one who made it")
	h.WantContent(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#mine:localhost"}`) // bob may not change that
}

func TestDeletedAliasIsNoLongerPublished(t *testing.T) {
	h := newEnv(t)
	for before, after := range map[string]string{
		`{"alias":"#a:localhost"}`:                                                `{}`,
		`{"alias":"#a:localhost","alt_aliases":["#b:localhost"]}`:                 `{"alt_aliases":["#b:localhost"]}`,
		`{"alias":"#b:localhost","alt_aliases":["#a:localhost"]}`:                 `{"alias":"#b:localhost"}`,
		`{"alias":"#b:localhost","alt_aliases":["#a:localhost","#b:localhost"]}`:  `{"alias":"#b:localhost","alt_aliases":["#b:localhost"]}`,
		`{"alias":"#a:localhost","alt_aliases":["#a:localhost"],"org.example":7}`: `{"org.example":7}`,
		`{"alias":"#b:localhost"}`:                                                `{"alias":"#b:localhost"}`,
	} {
		room := h.Public()
		h.alias(alice, "#a:localhost", room)
		h.alias(alice, "#b:localhost", room)
		h.SetState(alice, room, event.TypeCanonicalAlias, "", before)
		h.OK(h.Rooms.DeleteAlias(t.Context(), alice, "#a:localhost", false))
		h.WantContent(alice, room, event.TypeCanonicalAlias, "", after)
		if h.resolves("#a:localhost") != "" {
			t.Errorf("after %s the alias is still there", before)
		}
		h.OK(h.Rooms.DeleteAlias(t.Context(), alice, "#b:localhost", false))
	}
}

func TestModeratorDeletesAnAliasOfARoomThatPublishesNone(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.alias(bob, "#a:localhost", room)
	h.OK(h.Rooms.DeleteAlias(t.Context(), alice, "#a:localhost", false))
	if got := h.Content(alice, room, event.TypeCanonicalAlias, ""); got != "" {
		t.Errorf("the room now has %s", got)
	}
}

func TestPublishedAliasesPointToTheRoom(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
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
		matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeCanonicalAlias, "", content), code, content)
	}
	matrixtest.WantCode(t, h.TrySetState(alice, "!none:localhost", event.TypeCanonicalAlias, "", `{}`), matrix.Forbidden, "in no room")
}

func TestPublishedAliasMayDriftAwayAndStay(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public(bob)
	h.alias(alice, "#a:localhost", room)
	h.alias(alice, "#b:localhost", room)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost"}`)
	matrixtest.WantCode(t, h.Rooms.DeleteAlias(t.Context(), dave, "#a:localhost", true), "", "an administrator deletes it")
	h.alias(bob, "#a:localhost", other)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost","alt_aliases":["#b:localhost"]}`)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alt_aliases":["#a:localhost"]}`)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{}`)
	matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost"}`), matrix.BadAlias, "once gone")
	matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeCanonicalAlias, "x", `{"alias":"#a:localhost"}`), matrix.BadAlias, "with another state key")
}

func TestAliasesOfARoom(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", AliasName: "first"})
	h.Join(bob, room)
	h.alias(bob, "#second:localhost", room)
	h.alias(alice, "#elsewhere:localhost", h.Public())
	list, err := h.Rooms.Aliases(t.Context(), bob, room)
	h.OK(err)
	matrixtest.Equal(t, "aliases", list, []string{"#first:localhost", "#second:localhost"})
	_, err = h.Rooms.Aliases(t.Context(), carol, room)
	matrixtest.WantCode(t, err, matrix.Forbidden, "a stranger")
	_, err = h.Rooms.Aliases(t.Context(), alice, "!none:localhost")
	matrixtest.WantCode(t, err, matrix.Forbidden, "no such room")
	h.Leave(bob, room)
	_, err = h.Rooms.Aliases(t.Context(), bob, room)
	matrixtest.WantCode(t, err, matrix.Forbidden, "a former member")
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	_, err = h.Rooms.Aliases(t.Context(), carol, room)
	matrixtest.WantCode(t, err, "", "a stranger, where anybody may look in")
	none, err := h.Rooms.Aliases(t.Context(), alice, h.Public())
	h.OK(err)
	if none == nil || len(none) != 0 {
		t.Errorf("a room without aliases has %v", none)
	}
}

func TestInviteeOfARoomOpenToInviteesDoesNotSeeItsAliases(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"invited"}`)
	h.Invite(alice, room, bob)
	_, err := h.Rooms.Aliases(t.Context(), bob, room)
	matrixtest.WantCode(t, err, matrix.Forbidden, "an invitee")
}

func TestOneOfManyMakesTheAlias(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	var wg sync.WaitGroup
	made := make(chan bool, 20)
	for range cap(made) {
		wg.Go(func() {
			err := h.Rooms.CreateAlias(t.Context(), alice, "#one:localhost", room)
			if err != nil {
				matrixtest.WantCode(t, err, matrix.Unknown, "a loser")
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
	h := newEnv(t)
	room := h.Public()
	h.alias(alice, "#a:localhost", room)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost"}`)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			var refused *matrix.Error
			if err := h.Rooms.DeleteAlias(t.Context(), alice, "#a:localhost", false); err != nil && !errors.As(err, &refused) {
				t.Errorf("delete: an internal error: %v", err)
			}
		})
	}
	wg.Wait()
	h.WantContent(alice, room, event.TypeCanonicalAlias, "", `{}`)
	if h.resolves("#a:localhost") != "" {
		t.Error("the alias is still there")
	}
}
