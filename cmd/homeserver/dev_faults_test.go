package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

const (
	controlFaults   = "/_homeserver/dev/faults"
	controlRequests = "/_homeserver/dev/requests"
)

// broken sends a request whose answer does not arrive whole, and returns what did.
func broken(t *testing.T, c *matrixtest.Client, method, path string, body any) (status int, content string) {
	t.Helper()
	request := c.Request(method, path, body)
	request.Close = true // a client repeats nothing by itself on a new connection
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	part, err := io.ReadAll(answer.Body)
	if err == nil {
		t.Errorf("%s %s: the answer is whole: %d %s", method, path, answer.StatusCode, part)
	}
	return answer.StatusCode, string(part)
}

func TestDevLosesAnswersAfterTheEffect(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice := c.Login("alice", "wordpass")
	room := alice.CreateRoom(nil)
	for i, fault := range []string{`"drop":true,"after":true`, `"truncate":10`, `"truncate":100000`, `"status":502,"after":true`, `"status":429,"after":true`} {
		c.Do("POST", controlFaults, fmt.Sprintf(`{"method":"PUT","route":"/rooms/{roomId}/send/{eventType}/{txnId}","times":1,%s}`, fault)).OK()
		send, message := fmt.Sprintf("/rooms/%s/send/m.room.message/%d", room, i), map[string]any{"body": fault}
		if strings.Contains(fault, "status") {
			if got := alice.Do("PUT", send, message); got.Status == http.StatusOK {
				t.Errorf("%s: got %s", fault, got.Body)
			}
		} else {
			broken(t, alice, "PUT", send, message)
		}
		first := alice.Do("PUT", send, message).OK().String("event_id")
		found := alice.Do("GET", "/rooms/"+room+"/messages?dir=b&limit=3", nil).OK()
		if found.String("chunk", 0, "event_id") != first || strings.Count(string(found.Body), `"body":"`+strings.ReplaceAll(fault, `"`, `\"`)) != 1 {
			t.Errorf("%s: the room has %s", fault, found.Body)
		}
	}
}

func TestDevStopsRequestsBeforeTheEffect(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice := c.Login("alice", "wordpass")
	room := alice.CreateRoom(map[string]any{"name": "before"})
	name := "/rooms/" + room + "/state/m.room.name"
	for _, fault := range []string{`"drop":true`, `"status":502`, `"soft_logout":true`} {
		c.Do("POST", controlFaults, `{"user_id":"@alice:localhost","device_id":"`+alice.DeviceID+`","method":"PUT","times":1,`+fault+`}`).OK()
		switch body := map[string]any{"name": "after"}; fault {
		case `"drop":true`:
			if status, part := broken(t, alice, "PUT", name, body); status != 0 {
				t.Errorf("got %d %s", status, part)
			}
		case `"status":502`:
			alice.Do("PUT", name, body).Refused(502, "M_UNKNOWN")
		default:
			refused := alice.Do("PUT", name, body)
			if refused.Refused(401, "M_UNKNOWN_TOKEN"); refused.At("soft_logout") != true {
				t.Errorf("got %s", refused.Body)
			}
		}
		if got := alice.Do("GET", name, nil).OK().String("name"); got != "before" {
			t.Errorf("%s: the room is called %s", fault, got)
		}
	}
	var sent struct {
		Requests []struct{ Body struct{ Name string } }
	}
	c.Do("GET", controlRequests+"?method=PUT", nil).OK().Into(&sent)
	if len(sent.Requests) != 3 || sent.Requests[0].Body.Name != "after" {
		t.Errorf("got %+v", sent)
	}
}

func TestDevPicksTheRequestsOfAFault(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice, bob := c.Login("alice", "wordpass"), c.Login("bob", "wordpass")
	phone := c.Login("alice", "wordpass")
	c.Do("POST", controlFaults, `{"route":"/account/whoami","user_id":"@alice:localhost","device_id":"`+phone.DeviceID+`","skip":1,"times":2,"status":503}`).OK()
	ask := func(c *matrixtest.Client, generation string) int {
		return c.Do("GET", "/_matrix/client/"+generation+"/account/whoami", nil).Status
	}
	got := []int{ask(bob, "v3"), ask(alice, "v3"), ask(phone, "v3"), ask(phone, "r0"), ask(phone, "v3"), ask(phone, "v3")}
	if want := fmt.Sprint([]int{200, 200, 200, 503, 503, 200}); fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	c.Do("POST", controlFaults, `{"route":"/_matrix/client/r0/account/whoami","status":500}`).OK()
	if got := []int{ask(alice, "v3"), ask(alice, "r0"), ask(bob, "r0")}; fmt.Sprint(got) != "[200 500 500]" {
		t.Errorf("got %v", got)
	}
	c.Do("DELETE", controlFaults, nil).OK()
	if got := ask(alice, "r0"); got != 200 {
		t.Errorf("got %d", got)
	}
}

func TestDevRepeatsTokensOfSync(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice := c.Login("alice", "wordpass")
	room := alice.CreateRoom(nil)
	first := alice.Sync("").OK().NextBatch()
	event := alice.SendText(room, "hello")
	c.Do("POST", controlFaults, `{"repeat_sync":true,"times":1}`).OK()
	for range 2 {
		next := alice.Sync(first).OK()
		if !matrixtest.Shows(room, event)(next) {
			t.Errorf("got %s", next.Body)
		}
		if again := next.NextBatch() == first; !again {
			first = next.NextBatch()
		}
	}
	stale := c.Do("GET", controlRequests+"?route=/sync", nil).OK()
	if !strings.Contains(string(stale.Body), "since=") {
		t.Errorf("got %s", stale.Body)
	}
	c.Do("POST", controlFaults, `{"route":"/sync","stale_since":"","times":1}`).OK()
	if got := alice.Sync(first).OK(); !matrixtest.Shows(room, event)(got) {
		t.Errorf("got %s", got.Body)
	}
}

func TestDevHoldsRequestsBackUntilTheFaultIsTakenBack(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice := c.Login("alice", "wordpass")
	for _, after := range []bool{false, true} {
		id := c.Do("POST", controlFaults, map[string]any{"route": "/account/whoami", "delay_ms": 600_000, "after": after}).OK().String("fault_id")
		answered := make(chan int, 1)
		go func() { answered <- alice.Do("GET", "/account/whoami", nil).Status }()
		matrixtest.Until(t, "the fault has met it", func() bool {
			return c.Do("GET", controlFaults, nil).OK().At("faults", 0, "hits") == 1.0
		})
		c.Do("DELETE", controlFaults+"/"+id, nil).OK()
		if got := <-answered; got != 200 {
			t.Errorf("got %d", got)
		}
	}
	c.Do("POST", controlFaults, `{"route":"/account/whoami","delay_ms":200,"after":true}`).OK()
	begun := time.Now()
	alice.Do("GET", "/account/whoami", nil).OK()
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("the answer came after %v", took)
	}
}

func TestDevRefusesFaultsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	for body, errcode := range map[string]string{
		`{`:                                     "M_NOT_JSON",
		`[]`:                                    "M_BAD_JSON",
		`{"status":"429"}`:                      "M_BAD_JSON",
		`{"status":429,"retry_after":1}`:        "M_BAD_JSON",
		`{"method":1,"status":429}`:             "M_BAD_JSON",
		`{}`:                                    "M_MISSING_PARAM",
		`{"times":1}`:                           "M_MISSING_PARAM",
		`{"delay_ms":0}`:                        "M_INVALID_PARAM",
		`{"status":429,"drop":true}`:            "M_INVALID_PARAM",
		`{"status":200}`:                        "M_INVALID_PARAM",
		`{"status":600}`:                        "M_INVALID_PARAM",
		`{"drop":true,"errcode":"M_X"}`:         "M_INVALID_PARAM",
		`{"status":429,"retry_after_ms":-1}`:    "M_INVALID_PARAM",
		`{"delay_ms":-1}`:                       "M_INVALID_PARAM",
		`{"delay_ms":600001}`:                   "M_INVALID_PARAM",
		`{"truncate":-1}`:                       "M_INVALID_PARAM",
		`{"drop":true,"times":-1}`:              "M_INVALID_PARAM",
		`{"drop":true,"skip":-1}`:               "M_INVALID_PARAM",
		`{"drop":true,"method":"put"}`:          "M_INVALID_PARAM",
		`{"drop":true,"method":"GETT"}`:         "M_INVALID_PARAM",
		`{"drop":true,"method":"OPTIONS"}`:      "M_INVALID_PARAM",
		`{"drop":true,"user_id":"alice"}`:       "M_INVALID_PARAM",
		`{"drop":true,"route":"/rooms"}`:        "M_INVALID_PARAM",
		`{"drop":true,"route":"/_m/{a}"}`:       "M_INVALID_PARAM",
		`{"repeat_sync":true,"route":"/login"}`: "M_INVALID_PARAM",
	} {
		if got := c.Do("POST", controlFaults, body); got.Status != 400 || got.Errcode() != errcode {
			t.Errorf("%s: got %d %s, want %s", body, got.Status, got.Body, errcode)
		}
	}
	for _, query := range []string{"since=x", "wait_for=-1", "wait_for=1000000", "timeout_ms=1000000", "route=/nothing", "method=get", "user=@alice:localhost"} {
		c.Do("GET", controlRequests+"?"+query, nil).Refused(400, "M_INVALID_PARAM")
	}
	for range 1000 {
		c.Do("POST", controlFaults, `{"user_id":"@nobody:localhost","drop":true}`).OK()
	}
	c.Do("POST", controlFaults, `{"drop":true}`).Refused(429, "M_LIMIT_EXCEEDED")
	c.Do("GET", "/_homeserver/dev/nothing", nil).Refused(404, "M_UNRECOGNIZED")
	request := c.Request("GET", controlFaults, nil)
	request.Host = "evil.example"
	c.Send(request).Refused(403, "M_FORBIDDEN")
}

func TestDevKeepsNoSecretsOfRequests(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice := c.Login("alice", "wordpass")
	alice.Do("GET", "/account/whoami?access_token="+alice.Token+"&a=b", nil).OK()
	alice.Do("POST", "/_matrix/media/v3/upload", "\xff\xfe").OK()
	alice.Do("PUT", "/user/"+alice.UserID+"/account_data/org.example", map[string]any{"long": strings.Repeat("x", 70_000)}).Refused(413, "M_TOO_LARGE")
	c.Do("POST", "/login", `{"refresh_token":"hid\"den", "password": "hidden`).Refused(400, "M_NOT_JSON")
	got := c.Do("GET", controlRequests, nil).OK()
	for _, secret := range []string{alice.Token, "wordpass", "hid"} {
		if strings.Contains(string(got.Body), secret) {
			t.Errorf("%s is in %.3000s", secret, got.Body)
		}
	}
	for _, wanted := range []string{`"query":"a=b"`, `"body_base64":"//4="`, `"body_truncated":true`} {
		if !strings.Contains(string(got.Body), wanted) {
			t.Errorf("there is no %s in %.3000s", wanted, got.Body)
		}
	}
}
