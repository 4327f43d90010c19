package main

import (
	"net/http"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// controlledDev starts "homeserver dev" as a process of its own with alice and bob, and returns a client that is
// not logged in.
func controlledDev(t *testing.T, args ...string) *matrixtest.Client {
	t.Helper()
	d := startDev(t, `exec "$0" "$@"`, append([]string{"--user", "alice:wordpass", "--user", "bob:wordpass"}, args...)...)
	return matrixtest.At(t, d.BaseURL, &http.Client{Timeout: time.Minute, Transport: &http.Transport{}})
}

func TestDevFailsAsATestAsksAndSaysWhatWasSent(t *testing.T) {
	t.Parallel()
	c := controlledDev(t)
	alice, bob := c.Login("alice", "wordpass"), c.Login("bob", "wordpass")
	room := alice.CreateRoom(nil)
	const faults, requests = "/_homeserver/dev/faults", "/_homeserver/dev/requests"
	id := c.Do("POST", faults, `{"route":"/rooms/{roomId}/send/{eventType}/{txnId}","user_id":"@alice:localhost","times":1,
		"status":429,"retry_after_ms":1500}`).OK().String("fault_id")

	send := "/rooms/" + room + "/send/m.room.message/once"
	message := map[string]any{"msgtype": "m.text", "body": "hello"}
	refused := alice.Do("PUT", send, message)
	refused.Refused(429, "M_LIMIT_EXCEEDED")
	if got := refused.At("retry_after_ms"); got != 1500.0 {
		t.Errorf("retry_after_ms is %v", got)
	}
	for header, want := range map[string]string{"Retry-After": "2", "Access-Control-Allow-Origin": "*"} {
		if got := refused.Header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	bob.Do("PUT", send, message).Refused(403, "M_FORBIDDEN") // as the server has it
	alice.Do("PUT", send, message).OK()
	if got := c.Do("GET", faults, nil).OK(); got.At("faults", 0, "hits") != 1.0 || got.String("faults", 0, "fault_id") != id {
		t.Errorf("the faults are %s", got.Body)
	}

	var sent struct {
		Requests []struct {
			Method, Path, Route string
			UserID              string `json:"user_id"`
			DeviceID            string `json:"device_id"`
			Status              int
			Body                struct{ Body string }
		}
		Next int64
	}
	c.Do("GET", requests+"?route=/rooms/{roomId}/send/{eventType}/{txnId}&user_id=@alice:localhost&wait_for=2", nil).OK().Into(&sent)
	if len(sent.Requests) != 2 || sent.Requests[0].Status != 429 || sent.Requests[1].Status != 200 {
		t.Fatalf("got %+v", sent)
	}
	if first := sent.Requests[0]; first.Method != http.MethodPut || first.UserID != alice.UserID || first.DeviceID != alice.DeviceID || first.Body.Body != "hello" {
		t.Errorf("got %+v", first)
	}
	c.Do("DELETE", requests, nil).OK()
	c.Do("GET", requests, nil).OK().Into(&sent)
	if len(sent.Requests) != 0 {
		t.Errorf("there are still %+v", sent.Requests)
	}
	c.Do("DELETE", faults+"/"+id, nil).OK()
	c.Do("DELETE", faults+"/"+id, nil).Refused(404, "M_NOT_FOUND")
}
