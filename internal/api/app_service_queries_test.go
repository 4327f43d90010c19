package api

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// makes has the service make what it is asked for: users in their full names, and rooms for
// aliases. It answers at the paths of old only where old is true.
func (b *bridge) makes(c *matrixtest.Client, old bool) {
	irc := asService(c, "irc-as-token")
	b.answers(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if at, today := strings.CutPrefix(path, "/_matrix/app/v1"); today && !old {
			path = at
		} else if today {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errcode":"M_UNRECOGNIZED"}`)
			return
		}
		switch name := path[strings.LastIndex(path, "/")+1:]; {
		case strings.Contains(name, "nobody"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errcode":"M_NOT_FOUND"}`)
			return
		case strings.HasPrefix(path, "/users/"):
			userID := ghost(irc, strings.TrimSuffix(name[1:], ":localhost"))
			irc.Do("PUT", as(matrixtest.Path("profile", userID, "displayname"), userID), `{"displayname":"Bridged"}`).OK()
			irc.Do("GET", matrixtest.Path("profile", "@irc_nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
		default:
			irc.Do("POST", "/createRoom", map[string]any{
				"preset": "public_chat", "room_alias_name": strings.TrimSuffix(name[1:], ":localhost"),
			}).OK()
		}
		_, _ = io.WriteString(w, "{}")
	})
}

// askedFor returns a call that asks for a user or an alias.
func askedFor(kind, id string) string {
	return "GET /_matrix/app/v1/" + kind + "/" + url.PathEscape(id)
}

// reachable starts the API beside a bridge whose registration names its URL.
func reachable(t testing.TB, patience time.Duration) (*bridge, *matrixtest.Client) {
	t.Helper()
	irc := newBridge(t, "irc")
	return irc, newServerPatient(t, patience, irc.at(ircFile))
}

func TestUsersAreAskedForWhereProfilesAreLookedUp(t *testing.T) {
	t.Parallel()
	irc, c := reachable(t, 0)
	irc.makes(c, false)
	const carl = "@irc_carl:localhost"
	for range 2 {
		if got := c.Do("GET", matrixtest.Path("profile", carl), nil).OK().String("displayname"); got != "Bridged" {
			t.Errorf("got %q", got)
		}
	}
	if got := c.Do("GET", matrixtest.Path("profile", "@irc_eve:localhost", "displayname"), nil).OK().String("displayname"); got != "Bridged" {
		t.Errorf("got %q", got)
	}
	want := []string{askedFor("users", carl), askedFor("users", "@irc_eve:localhost")}
	if got := irc.taken(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, userID := range []string{"@irc_nobody:localhost", "@other:localhost", "@irc_carl:elsewhere"} {
		c.Do("GET", matrixtest.Path("profile", userID), nil).Refused(404, "M_NOT_FOUND")
	}
	if got := irc.taken(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestUsersAreAskedForWhoAreInvited(t *testing.T) {
	t.Parallel()
	irc, c := reachable(t, 0)
	alice := c.Register("alice", "wordpass")
	irc.makes(c, false)
	ids := []string{"@irc_one:localhost", "@irc_nobody:localhost", "@irc_two:localhost", "@irc_three:localhost"}
	room := alice.Do("POST", "/createRoom", map[string]any{"invite": ids[:2]}).OK().String("room_id")
	alice.Do("POST", matrixtest.Path("rooms", room, "invite"), map[string]any{"user_id": ids[2]}).OK()
	alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.member", ids[3]), `{"membership":"invite"}`).OK()
	got := irc.taken()
	slices.Sort(got)
	want := []string{askedFor("users", ids[1]), askedFor("users", ids[0]), askedFor("users", ids[3]), askedFor("users", ids[2])}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, userID := range ids {
		state := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.member", userID), nil).OK()
		if state.String("membership") != "invite" || (state.At("displayname") == nil) != strings.Contains(userID, "nobody") {
			t.Errorf("%s: %s", userID, state.Body)
		}
	}
}

func TestRoomsAreAskedForByTheirAliases(t *testing.T) {
	t.Parallel()
	irc, c := reachable(t, 0)
	alice := c.Register("alice", "wordpass")
	irc.makes(c, false)
	room := alice.Do("POST", matrixtest.Path("join", "#irc_one:localhost"), nil).OK().String("room_id")
	if got := alice.Do("GET", matrixtest.Path("directory", "room", "#irc_one:localhost"), nil).OK().String("room_id"); got != room {
		t.Errorf("got %s, want %s", got, room)
	}
	c.Do("GET", matrixtest.Path("directory", "room", "#irc_two:localhost"), nil).OK()
	c.Do("GET", matrixtest.Path("directory", "room", "#irc_nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
	c.Do("GET", matrixtest.Path("directory", "room", "#other:localhost"), nil).Refused(404, "M_NOT_FOUND")
	alice.Do("POST", matrixtest.Path("join", "#irc_nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
	want := []string{"one", "two", "nobody", "nobody"}
	for i, name := range want {
		want[i] = askedFor("rooms", "#irc_"+name+":localhost")
	}
	if got := irc.taken(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestServicesOfOldAreAskedAtTheirPaths(t *testing.T) {
	t.Parallel()
	irc, c := reachable(t, 0)
	irc.makes(c, true)
	for _, name := range []string{"one", "two"} {
		c.Do("GET", matrixtest.Path("directory", "room", "#irc_"+name+":localhost"), nil).OK()
	}
	old := func(name string) string {
		return "GET /rooms/" + url.PathEscape("#irc_"+name+":localhost") + "?access_token=irc-hs-token"
	}
	want := []string{askedFor("rooms", "#irc_one:localhost"), old("one"), old("two")}
	if got := irc.taken(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAServiceThatHangsHoldsUpOnlyWhoAsksForIt(t *testing.T) {
	t.Parallel()
	irc, c := reachable(t, 300*time.Millisecond)
	alice := c.Register("alice", "wordpass")
	asked := make(chan struct{}, 10)
	irc.answers(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	done := make(chan *matrixtest.Response)
	go func() { done <- c.Do("GET", matrixtest.Path("directory", "room", "#irc_one:localhost"), nil) }()
	<-asked
	room := alice.Do("POST", "/createRoom", `{}`).OK().String("room_id")
	alice.SendText(room, "meanwhile")
	(<-done).Refused(408, "M_UNKNOWN")
	c.Do("GET", matrixtest.Path("profile", "@irc_carl:localhost"), nil).Refused(408, "M_UNKNOWN")
	alice.Do("POST", matrixtest.Path("rooms", room, "invite"), map[string]any{"user_id": "@irc_carl:localhost"}).OK()
	irc.CloseClientConnections()
	irc.Close()
	c.Do("GET", matrixtest.Path("directory", "room", "#irc_one:localhost"), nil).Refused(408, "M_UNKNOWN")
}

func TestServicesInTroubleHaveMadeNothing(t *testing.T) {
	t.Parallel()
	irc, c := reachable(t, 0)
	for _, status := range []int{401, 403, 404, 500, 302} {
		irc.always(status, `{"errcode":"COM.EXAMPLE.NO"}`)
		c.Do("GET", matrixtest.Path("directory", "room", "#irc_one:localhost"), nil).Refused(404, "M_NOT_FOUND")
		c.Do("GET", matrixtest.Path("profile", "@irc_carl:localhost"), nil).Refused(404, "M_NOT_FOUND")
	}
	irc.always(200, `{}`) // which is not true
	c.Do("GET", matrixtest.Path("directory", "room", "#irc_one:localhost"), nil).Refused(404, "M_NOT_FOUND")
}
