package matrixtest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// fakeRooms answers with the request, in the members that the client reads.
func fakeRooms(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	asked := r.Method + " " + r.RequestURI + " " + string(body)
	_, _ = fmt.Fprintf(w, `{"room_id":%q,"event_id":%[1]q}`, asked)
}

func TestRoomHelpersSendWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	c := New(t, http.HandlerFunc(fakeRooms))
	const base = " /_matrix/client/v3/"
	for got, want := range map[string]string{
		c.CreateRoom(nil):                         "POST" + base + "createRoom ",
		c.CreateRoom(map[string]any{"name": "x"}): "POST" + base + `createRoom {"name":"x"}`,
		c.Join("#a/b:c"):                          "POST" + base + "join/%23a%2Fb:c ",
		c.SetState("!r:x", "m.x", "", `{}`):       "PUT" + base + "rooms/%21r:x/state/m.x/ {}",
		c.SetState("!r:x", "m.x", "k/", `{}`):     "PUT" + base + "rooms/%21r:x/state/m.x/k%2F {}",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestEachMessageHasATransactionIDOfItsOwn(t *testing.T) {
	t.Parallel()
	c := New(t, http.HandlerFunc(fakeRooms))
	first, second := c.SendText("!r:x", "hello"), c.SendText("!r:x", "hello")
	const prefix, body = "PUT /_matrix/client/v3/rooms/%21r:x/send/m.room.message/", ` {"body":"hello","msgtype":"m.text"}`
	if first == second || !strings.HasPrefix(first, prefix) || !strings.HasSuffix(first, body) {
		t.Errorf("got %s and %s", first, second)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	text := map[string]any{"body": "text"}
	got := Bodies([]Event{{Type: "m.room.message", Content: text}, {Type: "m.room.name", Content: text}, {Type: "m.room.message"}})
	if want := []string{"text", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
