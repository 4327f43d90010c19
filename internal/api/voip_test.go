package api

import (
	"strings"
	"testing"
	"time"

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
