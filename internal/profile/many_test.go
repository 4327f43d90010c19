package profile

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
)

func TestManyProfilesAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, name := range []string{"bob", "carol"} {
		if _, err := auth.New(s.pool, auth.Options{ServerName: "localhost"}).CreateAccount(t.Context(), auth.NewAccount{Username: name}); err != nil {
			t.Fatal(err)
		}
	}
	set(t, s, DisplayName, `"Alice"`)
	set(t, s, "org.example.x", `[1]`)
	bob := matrix.Session{UserID: "@bob:localhost"}
	if err := s.Set(t.Context(), bob, bob.UserID, AvatarURL, []byte(`"mxc://localhost/bob"`)); err != nil {
		t.Fatal(err)
	}
	asked := []string{alice.UserID, bob.UserID, "@carol:localhost", "@nobody:localhost", alice.UserID}
	got, err := s.Many(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[alice.UserID].DisplayName != "Alice" || got[bob.UserID].AvatarURL != "mxc://localhost/bob" {
		t.Errorf("got %+v", got)
	}
	if len(got[alice.UserID].Fields) != 0 || got[alice.UserID].AvatarURL != "" || got[bob.UserID].DisplayName != "" {
		t.Errorf("there is more than names and avatars, or they are mixed up: %+v", got)
	}
	if none, err := s.Many(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("nobody's profiles are %v, %v", none, err)
	}
}
