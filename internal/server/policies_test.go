package server

import (
	"log/slog"
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// withPolicyList starts a server that applies the rules in a room of its administrator, and
// returns the administrator and the ID of the room. change may be nil.
func withPolicyList(t *testing.T, change func(*config.Config)) (cfg *config.Config, s *Server, admin *matrixtest.Client, list string) {
	t.Helper()
	cfg = testConfig(t)
	first, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler), auth.NewAccount{Username: "root", Password: "wordpass", Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	list = clientAt(t, first, 0).Login("root", "wordpass").CreateRoom(map[string]any{"room_alias_name": "bans", "preset": "public_chat"})
	shutDown(t, first)
	cfg.PolicyLists.Rooms = []string{list}
	if change != nil {
		change(cfg)
	}
	s = mustStart(t, cfg)
	return cfg, s, clientAt(t, s, 0).Login("root", "wordpass"), list
}

// ban makes a rule.
func ban(admin *matrixtest.Client, list, kind, entity string) (eventID string) {
	return admin.SetState(list, "m.policy.rule."+kind, "rule:"+entity, map[string]any{
		"entity": entity, "recommendation": "m.ban", "reason": "unpleasant",
	})
}

// enter does something in a room with a body.
func enter(c *matrixtest.Client, room, how string, body any) *matrixtest.Response {
	return c.Do("POST", matrixtest.Path("rooms", room, how), body)
}

func TestPolicyListRefusesInvitesAndJoins(t *testing.T) {
	t.Parallel()
	_, s, admin, list := withPolicyList(t, nil)
	alice, mallory := clientAt(t, s, 0).Register("alice", "wordpass"), clientAt(t, s, 0).Register("mallory", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	ban(admin, list, "user", mallory.UserID)
	enter(mallory, room, "join", nil).Refused(403, "M_FORBIDDEN")
	enter(alice, room, "invite", map[string]any{"user_id": mallory.UserID}).Refused(403, "M_FORBIDDEN")
	admin.SetState(list, "m.policy.rule.user", "rule:"+mallory.UserID, map[string]any{})
	enter(alice, room, "invite", map[string]any{"user_id": mallory.UserID}).OK()
	enter(mallory, room, "join", nil).OK()
}
