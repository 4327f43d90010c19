package auth

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// operations lists all operations of a Service on the database, for an account "example"
// with a session and its tokens.
func operations(t *testing.T, s *Service, own session.Credentials) map[string]func(context.Context) error {
	t.Helper()
	session := matrix.Session{UserID: own.UserID, DeviceID: own.DeviceID}
	password := passwordAuth(t, "example", testPassword, "")
	ignore := func(_ any, err error) error { return err }
	return map[string]func(context.Context) error{
		"Accounts": func(ctx context.Context) error { return ignore(s.Accounts(ctx, "", 1)) },
		"Authenticate": func(ctx context.Context) error {
			return ignore(s.Sessions.Authenticate(ctx, own.AccessToken))
		},
		"ChangePassword": func(ctx context.Context) error {
			return s.ChangePassword(ctx, session, ChangePasswordRequest{NewPassword: "new", Auth: password})
		},
		"CheckAvailable": func(ctx context.Context) error { return s.CheckAvailable(ctx, "free") },
		"CreateAccount": func(ctx context.Context) error {
			return ignore(s.CreateAccount(ctx, NewAccount{Username: "new"}))
		},
		"Deactivate": func(ctx context.Context) error {
			return ignore(s.Deactivate(ctx, session, DeactivateRequest{Auth: password}))
		},
		"DeactivateAccount": func(ctx context.Context) error { return s.DeactivateAccount(ctx, "example", false) },
		"DeleteDevice": func(ctx context.Context) error {
			return s.Sessions.DeleteDevice(ctx, session, "x", password)
		},
		"DeleteDevice, asking": func(ctx context.Context) error {
			return s.Sessions.DeleteDevice(ctx, session, "x", nil)
		},
		"Device":  func(ctx context.Context) error { return ignore(s.Sessions.Device(ctx, own.UserID, own.DeviceID)) },
		"Devices": func(ctx context.Context) error { return ignore(s.Sessions.Devices(ctx, own.UserID)) },
		"Login": func(ctx context.Context) error {
			return ignore(s.Login(ctx, loginRequest("example", testPassword), testClient))
		},
		"Logout":    func(ctx context.Context) error { return s.Sessions.Logout(ctx, session) },
		"LogoutAll": func(ctx context.Context) error { return s.Sessions.LogoutAll(ctx, own.UserID) },
		"Refresh":   func(ctx context.Context) error { return ignore(s.Sessions.Refresh(ctx, own.RefreshToken)) },
		"Register": func(ctx context.Context) error {
			return ignore(s.Register(ctx, RegisterRequest{Username: "new", Auth: dummyAuth}, testClient))
		},
		"RenameDevice": func(ctx context.Context) error {
			return s.Sessions.RenameDevice(ctx, own.UserID, own.DeviceID, new("x"))
		},
		"SetPassword": func(ctx context.Context) error { return s.SetPassword(ctx, "example", "new", true) },
		"Exists":      func(ctx context.Context) error { return ignore(account.Exists(ctx, s.pool, own.UserID)) },
		"tidy":        s.tidy,
	}
}

// faultService makes a service with the account "example".
func faultService(t *testing.T) (*Service, session.Credentials) {
	t.Helper()
	s, _ := newTestService(t)
	return s, mustRegister(t, s, "example", func(r *RegisterRequest) { r.RefreshToken = true })
}

func TestEveryOperationEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	s, own := faultService(t)
	for name, run := range operations(t, s, own) {
		if err := run(canceled(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the end of the request", name, err)
		}
	}
	// Nothing has happened.
	mustAuthenticate(t, s, own.AccessToken)
	mustLogin(t, s, "example")
	mustRefresh(t, s, own.RefreshToken)
}

func TestEveryOperationTellsThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s, own := faultService(t)
	elsewhere, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing")
	must(t, err)
	defer elsewhere.Close()
	o := s.o
	o.Stages, o.Threepids = nil, nil
	away := New(elsewhere, o)

	for name, run := range operations(t, away, own) {
		err := run(t.Context())
		if err == nil {
			t.Errorf("%s succeeded", name)
		}
		if e, ok := errors.AsType[*matrix.Error](err); ok {
			t.Errorf("%s: got %v, want an internal error", name, e)
		}
	}
}

func TestEveryOperationIsAtomic(t *testing.T) {
	t.Parallel()
	s, own := faultService(t)
	session := matrix.Session{UserID: own.UserID, DeviceID: own.DeviceID}
	mustAuthenticate(t, s, own.AccessToken)
	// The last statement of each of these fails.
	_, err := s.pool.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON devices
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON access_tokens
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	must(t, err)
	before := count(t, s, `SELECT count(*) FROM devices`)

	all := operations(t, s, own)
	for _, name := range []string{"Logout", "LogoutAll", "Login", "Refresh", "SetPassword", "DeactivateAccount", "Register"} {
		if err := all[name](t.Context()); err == nil {
			t.Errorf("%s succeeded", name)
		}
	}

	// The caches agree with the database: nothing was revoked.
	mustAuthenticate(t, s, own.AccessToken)
	mustAuthenticate(t, sibling(s), own.AccessToken)
	if n := count(t, s, `SELECT count(*) FROM devices`); n != before {
		t.Errorf("got %d devices, want %d", n, before)
	}
	if n := count(t, s, `SELECT count(*) FROM accounts WHERE deactivated_at IS NULL`); n != 1 {
		t.Errorf("got %d active accounts, want the one there was", n)
	}
	if _, _, err := s.checkPassword(t.Context(), userName{name: "example"}, testPassword); err != nil {
		t.Errorf("the password has changed: %v", err)
	}
	if _, err := s.Sessions.Device(t.Context(), session.UserID, session.DeviceID); err != nil {
		t.Error(err)
	}
}

func TestAStoredHashThatIsBrokenIsAnInternalError(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, limitFailedLogins(ratelimit.Limit{PerSecond: 0.1, Burst: 1}))
	mustRegister(t, s, "example")
	_, err := s.pool.Exec(t.Context(), `UPDATE accounts SET password_hash = 'broken'`)
	must(t, err)

	for range 3 {
		_, err := s.Login(t.Context(), loginRequest("example", testPassword), testClient)
		if !errors.Is(err, errHash) {
			t.Errorf("got %v, want errHash, and no failed attempt counted", err)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(encodePHC(cheapArgon, make([]byte, 16), make([]byte, 32)))
	f.Add("$argon2id$v=19$m=8,t=1,p=1$")
	f.Add("$argon2id$v=19$m=-1,t=1,p=999$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, phc string) {
		p, salt, key, err := parsePHC(phc)
		if err != nil {
			return
		}
		again, _, _, err := parsePHC(encodePHC(p, salt, key))
		if err != nil || again != p {
			t.Errorf("%q is read as %+v, and written again it is %+v, %v", phc, p, again, err)
		}
	})
}

func FuzzUserNames(f *testing.F) {
	for _, seed := range []string{"example", "EXAMPLE", "@example:test.example", "@:", "a b", "\x00", "\xff"} {
		f.Add(seed)
	}
	s := New(nil, Options{ServerName: testServer})
	f.Fuzz(func(t *testing.T, name string) {
		if id, err := s.newUserID(name); err == nil {
			localpart, server, err := matrix.ParseUserID(id)
			if err != nil || server != testServer || !matrix.IsUserLocalpart(localpart) {
				t.Errorf("for %q the user ID is %q", name, id)
			}
		}
		candidates, err := s.localUserIDs(name)
		if err != nil && !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%q is refused with %v, not M_FORBIDDEN", name, err)
		}
		for _, id := range candidates {
			if _, _, err := matrix.ParseUserID(id); id != "" && err != nil {
				t.Errorf("%q may mean %q, which is no user ID", name, id)
			}
		}
	})
}
