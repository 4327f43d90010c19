package auth_test

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
)

// What application services do as their users costs no statement, and ends with the device or
// the account.
func TestUsersOfApplicationServicesAreRemembered(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	s := auth.New(pool, auth.Options{ServerName: "localhost", Argon: auth.ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1}})
	ctx := t.Context()
	for range 2 { // at each start
		if err := s.EnsureAccount(ctx, "@bot:localhost"); err != nil {
			t.Fatal(err)
		}
	}
	if created, err := s.Sessions.PutDevice(ctx, "@bot:localhost", "D", nil); !created || err != nil {
		t.Fatal(created, err)
	}
	act := func(userID, deviceID string, want matrix.Code) {
		t.Helper()
		who, err := s.Sessions.ActAs(ctx, "bridge", userID, deviceID)
		if want != "" && !matrix.IsCode(err, want) || want == "" && (err != nil || who != matrix.Session{UserID: userID, DeviceID: deviceID, AppService: "bridge"}) {
			t.Errorf("%s on %q: got %+v, %v, want %q", userID, deviceID, who, err, want)
		}
	}
	act("@bot:localhost", "", "")
	act("@bot:localhost", "D", "")
	before := pool.Stat().AcquireCount()
	for range 20 {
		act("@bot:localhost", "", "")
		act("@bot:localhost", "D", "")
	}
	if n := pool.Stat().AcquireCount() - before; n != 0 {
		t.Errorf("the database was asked %d times", n)
	}
	act("@bot:localhost", "E", matrix.UnknownDevice)
	act("@bot:localhost", "\x00", matrix.UnknownDevice)
	act("@nobody:localhost", "", matrix.Forbidden)
	act("no user", "", matrix.Forbidden)
	if err := s.Sessions.DeleteDevice(ctx, matrix.Session{UserID: "@bot:localhost", AppService: "bridge"}, "D", nil); err != nil {
		t.Fatal(err)
	}
	act("@bot:localhost", "D", matrix.UnknownDevice)
	act("@bot:localhost", "", "")
	if err := s.DeactivateAccount(ctx, "bot", false); err != nil {
		t.Fatal(err)
	}
	act("@bot:localhost", "", matrix.UserDeactivated)
}
