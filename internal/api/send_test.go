package api

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const hello = `{"msgtype":"m.text","body":"hello"}`

func TestSendWithAndWithoutTransactionID(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	path := matrixtest.Path("rooms", room, "send", "m.room.message")
	ids := []string{
		alice.Do("POST", path, hello).OK().String("event_id"),
		alice.Do("POST", path, hello).OK().String("event_id"),
		alice.Do("PUT", path+"/1", hello).OK().String("event_id"),
	}
	events := history(alice, room)
	if diff := cmp.Diff(ids, idsOf(events[len(events)-3:])); diff != "" {
		t.Error(diff)
	}
	e := events[len(events)-1]
	if e.Body() != "hello" || e.Sender != alice.UserID || e.RoomID != room || e.StateKey != nil || e.OriginServerTS == 0 {
		t.Errorf("got %+v", e)
	}
	// A slash at the end is no transaction ID.
	alice.Do("PUT", path+"/", hello).Refused(405, "M_UNRECOGNIZED")
}

func TestTransactionIDMakesOneEvent(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	phone := alice.Login("alice", "wordpass")
	other := alice.CreateRoom(nil)
	send := func(c *matrixtest.Client, room, eventType, txn string) string {
		return c.Do("PUT", matrixtest.Path("rooms", room, "send", eventType, txn), hello).OK().String("event_id")
	}
	first := send(alice, room, "m.room.message", "t/1")
	if again := send(alice, room, "m.room.message", "t/1"); again != first {
		t.Errorf("sent again: %s, want %s", again, first)
	}
	alice.Prefix = "/_matrix/client/r0"
	if again := send(alice, room, "m.room.message", "t/1"); again != first {
		t.Errorf("sent again in another generation of the API: %s, want %s", again, first)
	}
	ids := []string{
		first, send(alice, room, "m.room.message", "t/2"), send(alice, room, "org.example", "t/1"), send(alice, other, "m.room.message", "t/1"),
		send(phone, room, "m.room.message", "t/1"), send(bob, room, "m.room.message", "t/1"),
	}
	slices.Sort(ids)
	if distinct := slices.Compact(slices.Clone(ids)); len(distinct) != len(ids) {
		t.Errorf("another path, device or user is another transaction: %q", ids)
	}
	if got := matrixtest.Bodies(history(alice, room)); len(got) != 4 {
		t.Errorf("the room holds %d messages, want 4", len(got))
	}
}

// A transaction ID belongs to the device, and not to the access token that the device
// happens to have.
func TestTransactionIDOutlivesARefreshedToken(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	session := alice.Do("POST", "/login", `{"type":"m.login.password","user":"alice","password":"wordpass","refresh_token":true}`).OK()
	phone := *alice
	phone.Token, phone.DeviceID = session.String("access_token"), session.String("device_id")
	send := func() string {
		return phone.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "t"), hello).OK().String("event_id")
	}
	redact := func(id string) string {
		return phone.Do("PUT", matrixtest.Path("rooms", room, "redact", id, "t"), `{}`).OK().String("event_id")
	}
	first, gone := send(), alice.SendText(room, "gone")
	redaction := redact(gone)
	for refresh := session.String("refresh_token"); ; {
		answer := phone.Do("POST", "/refresh", map[string]string{"refresh_token": refresh}).OK()
		if answer.String("access_token") == phone.Token {
			t.Fatal("the token is the same")
		}
		phone.Token = answer.String("access_token")
		if again := send(); again != first {
			t.Errorf("sent again with another token: %s, want %s", again, first)
		}
		if again := redact(gone); again != redaction {
			t.Errorf("redacted again with another token: %s, want %s", again, redaction)
		}
		if refresh == answer.String("refresh_token") || refresh != session.String("refresh_token") {
			break
		}
		refresh = answer.String("refresh_token")
	}
	e := phone.Do("GET", matrixtest.Path("rooms", room, "event", first), nil).OK().Event()
	if e.Unsigned["transaction_id"] != "t" {
		t.Errorf("the device that has sent the event no longer gets its transaction ID: %v", e.Unsigned)
	}
}

func TestTransactionIDAtTheSameTime(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	path := matrixtest.Path("rooms", room, "send", "m.room.message", "once")
	var all sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		all.Go(func() { ids[i] = alice.Do("PUT", path, hello).String("event_id") })
	}
	all.Wait()
	if distinct := slices.Compact(ids); len(distinct) != 1 || distinct[0] == "" {
		t.Errorf("got %q", distinct)
	}
	if got := matrixtest.Bodies(history(alice, room)); len(got) != 1 {
		t.Errorf("the room holds %d messages", len(got))
	}
}

func TestTransactionIDOfOneWhoWasKicked(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	path := matrixtest.Path("rooms", room, "send", "m.room.message")
	first := bob.Do("PUT", path+"/1", hello).OK().String("event_id")
	alice.Do("POST", matrixtest.Path("rooms", room, "kick"), map[string]any{"user_id": bob.UserID}).OK()
	if again := bob.Do("PUT", path+"/1", hello).OK().String("event_id"); again != first {
		t.Errorf("got %s, want %s: it was sent, whatever came after", again, first)
	}
	bob.Do("PUT", path+"/2", hello).Refused(403, "M_FORBIDDEN")
}

func TestSendKeepsContentAsItIs(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	const content = `{"":"empty","a":[1,-1,null,true,{"":{}}],"body":"<&> \"ü\" \u0000 💥 \\","n":9007199254740991}`
	id := alice.SendEvent(room, "org.example/odd type", content)
	answer := alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK()
	if !strings.Contains(string(answer.Body), `"content":`+content+`,`) || answer.String("type") != "org.example/odd type" {
		t.Errorf("got %s", answer.Body)
	}
}

func TestSendRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	stranger := alice.Register("stranger", "wordpass")
	path := matrixtest.Path("rooms", room, "send", "m.room.message", "1")
	for _, test := range []struct {
		who        *matrixtest.Client
		path, body string
		status     int
		code       string
	}{
		{stranger, path, hello, 403, "M_FORBIDDEN"},
		{alice, matrixtest.Path("rooms", "!none:localhost", "send", "m.room.message", "1"), hello, 403, "M_FORBIDDEN"},
		{alice, matrixtest.Path("rooms", "none", "send", "m.room.message", "1"), hello, 400, "M_INVALID_PARAM"},
		{alice, matrixtest.Path("rooms", "!"+strings.Repeat("a", 255), "send", "m.room.message", "1"), hello, 400, "M_INVALID_PARAM"},
		{alice, matrixtest.Path("rooms", room, "send", strings.Repeat("a", 256), "1"), hello, 413, "M_TOO_LARGE"},
		{alice, matrixtest.Path("rooms", room, "send", "a", strings.Repeat("1", 256)), hello, 400, "M_INVALID_PARAM"},
		{alice, matrixtest.Path("rooms", room, "send", "a\x00", "1"), hello, 400, "M_INVALID_PARAM"},
		{alice, path, ``, 400, "M_NOT_JSON"},
		{alice, path, `{"body":"hello"`, 400, "M_NOT_JSON"},
		{alice, path, `{"body":"hello"}}`, 400, "M_NOT_JSON"},
		{alice, path, "{\"body\":\"\xff\"}", 400, "M_NOT_JSON"},
		{alice, path, `"hello"`, 400, "M_BAD_JSON"},
		{alice, path, `null`, 400, "M_BAD_JSON"},
		{alice, path, `{"a":1,"a":2}`, 400, "M_BAD_JSON"},
		{alice, path, `{"a":1.5}`, 400, "M_BAD_JSON"},
		{alice, path, `{"a":9007199254740992}`, 400, "M_BAD_JSON"},
		{alice, path, `{"a":"\ud800"}`, 400, "M_BAD_JSON"},
		{alice, path, strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 400, "M_BAD_JSON"},
		{alice, path, `{"body":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "M_TOO_LARGE"},
		{alice, path, `{"body":"` + strings.Repeat("a", 65_300) + `"}`, 413, "M_TOO_LARGE"}, // with all that the server adds
		{alice, path, `{"body":"` + strings.Repeat("a", 2<<20) + `"}`, 413, "M_TOO_LARGE"},
		{bob, matrixtest.Path("rooms", room, "send", "m.room.redaction"), `{}`, 405, "M_UNRECOGNIZED"},
		{bob, matrixtest.Path("rooms", room, "send", "m.room.redaction", "1"), `{}`, 400, "M_BAD_JSON"},
	} {
		if answer := test.who.Do("PUT", test.path, test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%.90s %.60s: got %d %s, want %d %s", test.path, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
	if got := matrixtest.Bodies(history(alice, room)); len(got) != 0 {
		t.Errorf("refused messages are there: %.100q", got)
	}
	// None of the refusals has used up the transaction ID.
	alice.Do("PUT", path, hello).OK()
}

func TestManySendersOfOneRoomKeepTheirOrder(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	var all sync.WaitGroup
	for _, c := range []*matrixtest.Client{alice, bob, alice.Login("alice", "wordpass"), bob.Login("bob", "wordpass")} {
		all.Go(func() {
			for i := range 20 {
				if answer := c.Do("POST", matrixtest.Path("rooms", room, "send", "m.room.message"),
					map[string]any{"msgtype": "m.text", "body": fmt.Sprintf("%s %02d", c.DeviceID, i)}); answer.Status != 200 {
					t.Errorf("%s", answer.Body)
				}
			}
		})
	}
	all.Wait()
	bodies := matrixtest.Bodies(history(alice, room))
	perDevice := map[string][]string{}
	for _, body := range bodies {
		device, _, _ := strings.Cut(body, " ")
		perDevice[device] = append(perDevice[device], body)
	}
	for device, sent := range perDevice {
		if len(sent) != 20 || !slices.IsSorted(sent) {
			t.Errorf("%s: %q", device, sent)
		}
	}
	if len(bodies) != 80 {
		t.Errorf("%d messages, want 80", len(bodies))
	}
}
