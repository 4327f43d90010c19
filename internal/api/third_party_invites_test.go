package api

import (
	"testing"

	"homeserver/internal/clienttest"
	"homeserver/internal/identity/identitytest"
	"homeserver/internal/invitations"
)

// withIdentity runs a server, and an identity server that it may ask.
func withIdentity(t *testing.T) (alice, bob *clienttest.Client, identity *identitytest.Server) {
	t.Helper()
	identity = identitytest.New(t)
	opts := services(t)
	opts.Invitations = invitations.New(opts.Journal, opts.Rooms, identity.Client())
	anyone := clienttest.New(t, newAPI(t, opts).Handler())
	return anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), identity
}

func addressOf(identity *identitytest.Server, address string) map[string]any {
	return map[string]any{
		"id_server": identity.Name(), "id_access_token": identitytest.Token, "medium": "email", "address": address,
	}
}

func TestInviteByAddress(t *testing.T) {
	t.Parallel()
	alice, bob, identity := withIdentity(t)
	identity.Bind("email", "bob@example.com", bob.UserID)
	room := alice.CreateRoom(nil)
	if got := change(alice, room, "invite", addressOf(identity, "bob@example.com")).OK().At().(map[string]any); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	stands(alice, room, bob.UserID, "invite")
	change(bob, room, "join", nil).OK()
	change(alice, room, "invite", addressOf(identity, "bob@example.com")).Refused(403, "M_FORBIDDEN")
	incomplete := addressOf(identity, "x@example.com")
	delete(incomplete, "id_access_token")
	change(alice, room, "invite", incomplete).Refused(400, "M_MISSING_PARAM")
	change(alice, room, "invite", `{}`).Refused(400, "M_MISSING_PARAM")
	change(alice, room, "invite", `{"medium":1}`).Refused(400, "M_BAD_JSON")
	both := addressOf(identity, "x@example.com")
	both["user_id"] = "@carol:localhost"
	change(alice, room, "invite", both).OK()
	stands(alice, room, "@carol:localhost", "invite")
}

func TestJoinByAnInvitationToAnAddress(t *testing.T) {
	t.Parallel()
	alice, bob, identity := withIdentity(t)
	room := alice.CreateRoom(map[string]any{"invite_3pid": []any{addressOf(identity, "new@example.com")}, "room_alias_name": "party"})
	change(bob, room, "join", nil).Refused(403, "M_FORBIDDEN")
	change(bob, room, "join", `{"third_party_signed":{}}`).Refused(403, "M_FORBIDDEN")
	forged := identity.SignByAnother("token-0", bob.UserID, alice.UserID)
	change(bob, room, "join", map[string]any{"third_party_signed": forged}).Refused(403, "M_FORBIDDEN")
	signed := identity.Sign("token-0", bob.UserID, alice.UserID)
	if got := bob.Do("POST", "/join/%23party:localhost", map[string]any{"third_party_signed": signed}).OK().String("room_id"); got != room {
		t.Errorf("room_id %q", got)
	}
	stands(alice, room, bob.UserID, "join")
	change(bob, room, "join", map[string]any{"third_party_signed": signed}).OK()
}
