package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

func TestUserDirectory(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	find := func(as *matrixtest.Client, body any) *matrixtest.Response {
		t.Helper()
		return as.Do("POST", "/user_directory/search", body)
	}
	none := func(as *matrixtest.Client, term string) {
		t.Helper()
		answer := find(as, map[string]any{"search_term": term}).OK()
		if got, ok := answer.At("results").([]any); !ok || len(got) != 0 || answer.At("limited") != false {
			t.Errorf("%q: %s", term, answer.Body)
		}
	}
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "displayname"), `{"displayname":"Bôb the Builder"}`).OK()
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "avatar_url"), `{"avatar_url":"mxc://localhost/b"}`).OK()
	none(alice, "builder")
	room := alice.CreateRoom(map[string]any{"invite": []string{bob.UserID}})
	none(alice, "builder")
	bob.Join(room)
	answer := find(alice, `{"search_term":"BOB b"}`).OK()
	for place, want := range map[string]string{
		"user_id": bob.UserID, "display_name": "Bôb the Builder", "avatar_url": "mxc://localhost/b",
	} {
		if got := answer.String("results", 0, place); got != want {
			t.Errorf("%s: %q, want %q", place, got, want)
		}
	}
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "displayname"), `{"displayname":"Robert"}`).OK()
	if got := find(alice, `{"search_term":"robert","limit":1}`).OK().String("results", 0, "display_name"); got != "Robert" {
		t.Errorf("after a change: %q", got)
	}
	none(alice, "builder")
	change(bob, room, "leave", nil).OK()
	none(alice, "robert")

	open := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	if got := find(alice, map[string]any{"search_term": "alice"}).OK(); got.String("results", 0, "user_id") != alice.UserID {
		t.Errorf("oneself in the public room %s: %s", open, got.Body)
	}
	find(alice, `{}`).Refused(400, "M_MISSING_PARAM")
	find(alice, nil).Refused(400, "M_MISSING_PARAM")
	find(alice, `{"search_term":1}`).Refused(400, "M_BAD_JSON")
	find(alice, `{"search_term":"a","limit":-1}`).Refused(400, "M_INVALID_PARAM")
	find(matrixtest.At(t, alice.BaseURL, alice.HTTP), `{"search_term":"a"}`).Refused(401, "M_MISSING_TOKEN")
}

func TestDeactivatedUsersAreNotInTheDirectory(t *testing.T) {
	t.Parallel()
	alice, bob, _ := shared(t)
	find := func() int {
		t.Helper()
		return len(alice.Do("POST", "/user_directory/search", map[string]any{"search_term": bob.UserID}).OK().At("results").([]any))
	}
	if find() != 1 {
		t.Error("bob is not found")
	}
	bob.Do("POST", "/account/deactivate", map[string]any{"auth": map[string]any{
		"type": "m.login.password", "password": "wordpass", "identifier": map[string]any{"type": "m.id.user", "user": bob.UserID},
	}}).OK()
	if find() != 0 {
		t.Error("bob is still found")
	}
}
