package auth

import (
	"slices"
	"testing"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestCreateAccount(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t, func(o *Options) { o.RegistrationEnabled, o.MinPasswordLength = false, 8 })

	got, err := s.CreateAccount(t.Context(), NewAccount{Username: "Root", Password: testPassword, Admin: true})
	must(t, err)
	if got != userID("root") {
		t.Errorf("got %s", got)
	}
	_, err = s.CreateAccount(t.Context(), NewAccount{Username: "locked"})
	must(t, err)
	tests := map[matrix.Code]NewAccount{
		matrix.UserInUse:       {Username: "root"},
		matrix.InvalidUsername: {Username: ""},
		matrix.WeakPassword:    {Username: "other", Password: "short"},
	}
	for want, n := range tests {
		_, err := s.CreateAccount(t.Context(), n)
		matrixtest.WantCode(t, err, want)
	}

	accounts, err := s.Accounts(t.Context(), "", 10)
	must(t, err)
	at := c.Now().UnixMilli()
	want := []account.Account{{UserID: userID("locked"), CreatedAt: at}, {UserID: userID("root"), Admin: true, CreatedAt: at}}
	if !slices.Equal(accounts, want) {
		t.Errorf("got %+v, want %+v", accounts, want)
	}
	mustLogin(t, s, "root")
	if n := count(t, s, `SELECT count(*) FROM devices`); n != 1 {
		t.Errorf("got %d devices, want that of the login only", n)
	}
}

func TestAccountsAreListedInPages(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	s, _ := newTestService(t)
	for _, name := range []string{"c", "a", "d", "b"} {
		mustRegister(t, s, name)
	}
	must(t, s.DeactivateAccount(t.Context(), "c", false))
	var names []string
	after := ""
	for {
		page, err := s.Accounts(t.Context(), after, 3)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			if a.Deactivated != (a.UserID == userID("c")) {
				t.Errorf("got %+v", a)
			}
			names = append(names, a.UserID)
		}
		after = names[len(names)-1]
	}
	if want := []string{userID("a"), userID("b"), userID("c"), userID("d")}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	page, err := s.Accounts(t.Context(), "", -1)
	if err != nil || len(page) != 1 {
		t.Errorf("got %v, %v, want one for a limit below 1", page, err)
	}
}

func TestUserExists(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	mustRegister(t, s, "gone")
	must(t, s.DeactivateAccount(t.Context(), "gone", false))
	tests := map[string]bool{
		userID("example"): true, userID("gone"): true, userID("nobody"): false, userID("EXAMPLE"): false,
		"example": false, "@example:other.example": false, "": false, "@\x00:test.example": false, "@\xff:test.example": false,
	}
	for id, want := range tests {
		if got, err := account.Exists(t.Context(), s.pool, id); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", id, got, err, want)
		}
	}
}
