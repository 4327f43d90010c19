package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/turn"
)

func TestTurnServer(t *testing.T) {
	t.Parallel()
	opts := services(t)
	without := matrixtest.New(t, newAPI(t, opts).Handler())
	alice := without.Register("alice", "wordpass")
	if got := string(alice.Do("GET", "/voip/turnServer", nil).OK().Body); strings.TrimSpace(got) != "{}" {
		t.Errorf("without a server: %s", got)
	}
	without.Do("GET", "/voip/turnServer", nil).Refused(401, "M_MISSING_TOKEN")
	opts.Turn = turn.New(turn.Options{URIs: []string{"turn:turn.example.org"}, SharedSecret: "x", Lifetime: time.Hour})
	opts.HTTP.Metrics = nil
	with := matrixtest.New(t, newAPI(t, opts).Handler())
	with.Token = alice.Token
	answer := with.Do("GET", "/voip/turnServer", nil).OK()
	if !strings.HasSuffix(answer.String("username"), ":"+alice.UserID) || answer.String("password") == "" ||
		answer.String("uris", 0) != "turn:turn.example.org" || answer.At("ttl") != 3600.0 {
		t.Errorf("got %s", answer.Body)
	}
}

// TestCallTransports asks at all places at which clients in use look for them.
func TestCallTransports(t *testing.T) {
	t.Parallel()
	opts := services(t)
	opts.LiveKitURLs = []string{"https://livekit.example.org/jwt", "https://other.example.org"}
	anyone := matrixtest.New(t, newAPI(t, opts).Handler())
	alice := anyone.Register("alice", "wordpass")
	want := any([]any{
		map[string]any{"type": "livekit", "livekit_service_url": "https://livekit.example.org/jwt"},
		map[string]any{"type": "livekit", "livekit_service_url": "https://other.example.org"},
	})
	for _, path := range []string{"/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", "/_matrix/client/v1/rtc/transports"} {
		if diff := cmp.Diff(want, alice.Do("GET", path, nil).OK().At("rtc_transports")); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		anyone.Do("GET", path, nil).Refused(401, "M_MISSING_TOKEN")
	}
	if diff := cmp.Diff(want, anyone.Do("GET", "/.well-known/matrix/client", nil).OK().At("org.matrix.msc4143.rtc_foci")); diff != "" {
		t.Error(diff)
	}
}
