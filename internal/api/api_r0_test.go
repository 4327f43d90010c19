package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

// TestRoutesUnderAPIR0: one version of the specification has two endpoints there,
// and no others.
func TestRoutesUnderAPIR0(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	room := alice.CreateRoom(`{}`)
	said := alice.SendText(room, "hello")
	alice.Prefix = "/_matrix/client/api/r0"
	around := matrixtest.Path("rooms", room, "context", said)
	if got := alice.Do("GET", around, nil).OK().Event("event"); got.Body() != "hello" {
		t.Errorf("got %+v", got)
	}
	redact := matrixtest.Path("rooms", room, "redact", said, "1")
	first := alice.Do("PUT", redact, `{"reason":"a slip"}`).OK().String("event_id")
	if again := alice.Do("PUT", redact, `{"reason":"a slip"}`).OK().String("event_id"); again != first || first == "" {
		t.Errorf("redacted by %q and, with the same transaction ID, %q", first, again)
	}
	if got := alice.Do("GET", around, nil).OK().Event("event"); got.Body() != "" {
		t.Errorf("after the redaction: %+v", got)
	}
	alice.Do("GET", "/account/whoami", nil).Refused(404, "M_UNRECOGNIZED")
}
