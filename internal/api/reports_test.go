package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// wantEmpty fails the test unless the answer is {}.
func wantEmpty(t *testing.T, answer *matrixtest.Response) {
	t.Helper()
	if got := strings.TrimSpace(string(answer.OK().Body)); got != "{}" {
		t.Errorf("got %s, want {}", got)
	}
}

func TestReportEvent(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room := alice.CreateRoom(`{}`)
	path := matrixtest.Path("rooms", room, "report", alice.SendText(room, "hello"))
	for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3"} {
		alice.Prefix = prefix
		for _, body := range []string{
			`{"reason":"it is rude","score":-100}`, `{"reason":""}`, `{"score":0}`, `{"reason":null,"score":null}`, `{}`,
		} {
			wantEmpty(t, alice.Do("POST", path, body))
		}
	}
	for _, body := range []string{`{"score":-101}`, `{"score":1}`, `{"reason":"` + strings.Repeat("x", 2001) + `"}`} {
		alice.Do("POST", path, body).Refused(400, "M_INVALID_PARAM")
	}
	for _, body := range []string{`{"score":"-1"}`, `{"score":-1.5}`, `{"reason":1}`, `{"reason":"\u0000"}`} {
		alice.Do("POST", path, body).Refused(400, "M_BAD_JSON")
	}
	bob.Do("POST", path, `{}`).Refused(404, "M_NOT_FOUND")
	alice.Do("POST", matrixtest.Path("rooms", room, "report", "$nonsense"), `{}`).Refused(404, "M_NOT_FOUND")
	anyone.Do("POST", path, `{}`).Refused(401, "M_MISSING_TOKEN")
}

func TestReportRoomAndUser(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room := matrixtest.Path("rooms", alice.CreateRoom(`{}`), "report")
	user := matrixtest.Path("users", alice.UserID, "report")
	for _, path := range []string{room, user, matrixtest.Path("users", "@nobody:localhost", "report")} {
		wantEmpty(t, bob.Do("POST", path, `{"reason":"it is rude"}`))
		wantEmpty(t, bob.Do("POST", path, `{"reason":""}`))
		bob.Do("POST", path, `{}`).Refused(400, "M_MISSING_PARAM")
		bob.Do("POST", path, `{"reason":[]}`).Refused(400, "M_BAD_JSON")
		anyone.Do("POST", path, `{"reason":""}`).Refused(401, "M_MISSING_TOKEN")
	}
	bob.Do("POST", matrixtest.Path("rooms", "!nowhere:localhost", "report"), `{"reason":""}`).Refused(404, "M_NOT_FOUND")
	bob.Prefix = "/_matrix/client/r0"
	bob.Do("POST", room, `{"reason":""}`).Refused(404, "M_UNRECOGNIZED")
	bob.Do("POST", user, `{"reason":""}`).Refused(404, "M_UNRECOGNIZED")
}
