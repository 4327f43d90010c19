package api

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
)

// moderated returns clients of an administrator and of a user, and what registers others.
func moderated(t *testing.T) (anyone, admin, alice *matrixtest.Client) {
	t.Helper()
	opts := services(t)
	anyone = matrixtest.New(t, newAPI(t, opts).Handler())
	for _, name := range []string{"root", "second"} {
		if _, err := opts.Auth.CreateAccount(t.Context(), auth.NewAccount{Username: name, Password: "wordpass", Admin: true}); err != nil {
			t.Fatal(err)
		}
	}
	return anyone, anyone.Login("root", "wordpass"), anyone.Register("alice", "wordpass")
}

func lockPath(userID string) string {
	return "/_matrix/client/v1" + matrixtest.Path("admin", "lock", userID)
}
func suspendPath(userID string) string {
	return "/_matrix/client/v1" + matrixtest.Path("admin", "suspend", userID)
}

func TestAdministratorsLockAndSuspend(t *testing.T) {
	t.Parallel()
	anyone, admin, alice := moderated(t)
	const second = "@second:localhost"
	for field, path := range map[string]func(string) string{"locked": lockPath, "suspended": suspendPath} {
		for _, value := range []bool{true, true, false} {
			if got := admin.Do("PUT", path(alice.UserID), map[string]any{field: value}).OK().At(field); got != value {
				t.Errorf("%s is %v", field, got)
			}
			if got := admin.Do("GET", path(alice.UserID), nil).OK().At(field); got != value {
				t.Errorf("%s is %v", field, got)
			}
		}
		on := map[string]any{field: true}
		admin.Do("PUT", path(alice.UserID), `{"`+field+`":"yes"}`).Refused(400, "M_BAD_JSON")
		admin.Do("PUT", path(alice.UserID), `{}`).Refused(400, "M_MISSING_PARAM")
		admin.Do("PUT", path(alice.UserID), `{`).Refused(400, "M_NOT_JSON")
		admin.Do("PUT", path(admin.UserID), on).Refused(403, "M_FORBIDDEN")
		for _, method := range []string{"GET", "PUT"} {
			admin.Do(method, path("@alice:example.org"), on).Refused(400, "M_INVALID_PARAM")
			admin.Do(method, path("alice"), on).Refused(400, "M_INVALID_PARAM")
			admin.Do(method, path("@nobody:localhost"), on).Refused(404, "M_NOT_FOUND")
			admin.Do(method, path(second), on).Refused(403, "M_FORBIDDEN")
			alice.Do(method, path("@nobody:localhost"), on).Refused(403, "M_FORBIDDEN")
			alice.Do(method, path(alice.UserID), on).Refused(403, "M_FORBIDDEN")
			anyone.Do(method, path(alice.UserID), on).Refused(401, "M_MISSING_TOKEN")
		}
	}
	alice.Do("POST", "/account/deactivate", passwordAuth(alice)).OK()
	admin.Do("GET", lockPath(alice.UserID), nil).Refused(404, "M_NOT_FOUND")
}

// passwordAuth returns a body with the password of a user.
func passwordAuth(c *matrixtest.Client) map[string]any {
	return map[string]any{"auth": map[string]any{
		"type": "m.login.password", "password": "wordpass", "identifier": map[string]any{"type": "m.id.user", "user": c.UserID},
	}}
}

func TestModerationIsACapabilityOfAdministrators(t *testing.T) {
	t.Parallel()
	_, admin, alice := moderated(t)
	if got := alice.Do("GET", "/capabilities", nil).OK().At("capabilities", "m.account_moderation"); got != nil {
		t.Errorf("a user can %v", got)
	}
	answer := admin.Do("GET", "/capabilities", nil).OK()
	for _, action := range []string{"lock", "suspend"} {
		if answer.At("capabilities", "m.account_moderation", action) != true {
			t.Errorf("an administrator cannot %s: %s", action, answer.Body)
		}
	}
}

// isLocked checks the answer to a user with a locked account.
func isLocked(t *testing.T, r *matrixtest.Response) {
	t.Helper()
	r.Refused(401, "M_USER_LOCKED")
	if r.At("soft_logout") != true {
		t.Errorf("the client may throw away its keys: %s", r.Body)
	}
}

func TestALockedAccountCanOnlyLogOut(t *testing.T) {
	t.Parallel()
	anyone, admin, alice := moderated(t)
	login := map[string]any{"type": "m.login.password", "password": "wordpass", "identifier": map[string]any{"type": "m.id.user", "user": "alice"}, "refresh_token": true}
	fresh := anyone.Do("POST", "/login", login).OK()
	since := alice.Sync("").NextBatch()
	polled := make(chan *matrixtest.Response)
	go func() { polled <- alice.Do("GET", matrixtest.SyncPath(since, "timeout", "60000"), nil) }()

	admin.Do("PUT", lockPath(alice.UserID), `{"locked":true}`).OK()
	isLocked(t, <-polled)
	for _, path := range []string{"/sync", "/account/whoami", "/devices", "/joined_rooms", "/capabilities"} {
		isLocked(t, alice.Do("GET", path, nil))
	}
	isLocked(t, alice.Do("POST", "/createRoom", `{}`))
	isLocked(t, anyone.Do("POST", "/login", login))
	login["password"] = "wrong"
	anyone.Do("POST", "/login", login).Refused(403, "M_FORBIDDEN")
	renewal := map[string]any{"refresh_token": fresh.String("refresh_token")}
	isLocked(t, anyone.Do("POST", "/refresh", renewal))
	isLocked(t, anyone.Do("POST", "/account/deactivate", passwordAuth(alice)))

	admin.Do("PUT", lockPath(alice.UserID), `{"locked":false}`).OK()
	alice.Do("GET", "/account/whoami", nil).OK()
	anyone.Do("POST", "/refresh", renewal).OK()

	admin.Do("PUT", lockPath(alice.UserID), `{"locked":true}`).OK()
	alice.Do("POST", "/logout", nil).OK()
	alice.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
}

func TestASuspendedUserReadsAndLeaves(t *testing.T) {
	t.Parallel()
	anyone, admin, alice := moderated(t)
	bob := anyone.Register("bob", "wordpass")
	room := bob.CreateRoom(`{"preset":"public_chat","invite":["@alice:localhost"]}`)
	alice.Join(room)
	foreign, own := bob.SendText(room, "of bob"), alice.SendText(room, "of alice")
	elsewhere := bob.CreateRoom(`{"preset":"public_chat","invite":["@alice:localhost"]}`)
	mine := alice.CreateRoom(`{}`)
	admin.Do("PUT", suspendPath(alice.UserID), `{"suspended":true}`).OK()

	event := func(id string) string { return matrixtest.Path("rooms", room, "redact", id, "t"+id[1:8]) }
	for name, r := range map[string]*matrixtest.Response{
		"send":          alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "1"), `{"msgtype":"m.text","body":"x"}`),
		"state":         alice.Do("PUT", matrixtest.Path("rooms", mine, "state", "m.room.name"), `{"name":"x"}`),
		"profile event": alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.member", alice.UserID), `{"membership":"join","displayname":"x"}`),
		"join":          alice.Do("POST", matrixtest.Path("rooms", elsewhere, "join"), nil),
		"join by alias": alice.Do("POST", matrixtest.Path("join", elsewhere), nil),
		"knock":         alice.Do("POST", matrixtest.Path("knock", elsewhere), nil),
		"invite":        alice.Do("POST", matrixtest.Path("rooms", mine, "invite"), map[string]any{"user_id": bob.UserID}),
		"create":        alice.Do("POST", "/createRoom", `{}`),
		"profile":       alice.Do("PUT", matrixtest.Path("profile", alice.UserID, "displayname"), `{"displayname":"x"}`),
		"upload":        alice.Do("POST", "/_matrix/media/v3/upload", "x"),
		"typing":        alice.Do("PUT", matrixtest.Path("rooms", room, "typing", alice.UserID), `{"typing":true}`),
		"redact others": alice.Do("PUT", event(foreign), `{}`),
		"send redact":   alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.redaction", "2"), map[string]any{"redacts": foreign}),
		"ban":           alice.Do("POST", matrixtest.Path("rooms", mine, "ban"), map[string]any{"user_id": bob.UserID}),
		"no contact":    alice.Do("POST", "/account/3pid/delete", `{"medium":"email","address":"a@example.org"}`),
	} {
		if r.Status != 403 || r.Errcode() != "M_USER_SUSPENDED" {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}

	heard := bob.SendText(room, "to all")
	alice.SyncUntil("", matrixtest.Shows(room, heard))
	alice.Do("PUT", event(own), `{}`).OK()
	alice.Do("POST", matrixtest.Path("rooms", elsewhere, "leave"), nil).OK()
	alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.member", alice.UserID), `{"membership":"leave"}`).OK()
	alice.Do("POST", "/keys/upload", `{}`).OK()
	another := anyone.Login("alice", "wordpass")
	another.Do("POST", "/createRoom", `{}`).Refused(403, "M_USER_SUSPENDED")

	admin.Do("PUT", suspendPath(alice.UserID), `{"suspended":false}`).OK()
	alice.CreateRoom(`{}`)
	another.CreateRoom(`{}`)
}
