// Package roomstest is the harness of all tests that need rooms: the services of one
// server process on a database of the test's own, and short methods to act in rooms and
// to read them.
//
//	env := roomstest.New(t)
//	room := env.Public(roomstest.Bob)
//	id := env.Send(roomstest.Bob, room, "hello")
//	env.Redact(roomstest.Alice, room, id, "")
//
// A test that needs more, such as receipts, opens the harness, builds its service on the
// exported fields, and then runs it:
//
//	env := roomstest.Open(t, roomstest.Options{})
//	data := accountdata.New(env.Pool, env.Journal, env.Rooms.Timeline, 0)
//	env.Run()
//
// A step that fails ends the test, unless its method returns the error.
package roomstest

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

// The users of the tests; they may act in rooms without having accounts.
const (
	Alice = "@alice:localhost"
	Bob   = "@bob:localhost"
	Carol = "@carol:localhost"
	Dave  = "@dave:localhost"
)

// Signer signs for the server localhost.
var Signer = &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}

// Env has the services of one server process that rooms need.
type Env struct {
	T        testing.TB
	Pool     *pgxpool.Pool
	Journal  *journal.Journal
	Users    *auth.Service
	Profiles *profile.Service
	Rooms    *rooms.Service
}

// Options changes the usual set-up.
type Options struct {
	Pool    *pgxpool.Pool // of the database; nil: a new one
	Journal journal.Options
	Users   func(*auth.Options)  // changes the options of the accounts; may be nil
	Rooms   func(*rooms.Options) // changes the options of the rooms; may be nil
}

// New returns an Env on a new database, running, for a test that runs beside others.
func New(t *testing.T) *Env {
	t.Helper()
	t.Parallel()
	return Open(t, Options{}).Run()
}

// Open returns an Env that does not run yet, so that more can be built on it.
func Open(t testing.TB, o Options) *Env {
	t.Helper()
	if o.Pool == nil {
		o.Pool = postgrestest.New(t)
	}
	env := &Env{T: t, Pool: o.Pool, Journal: journal.New(o.Pool, o.Journal)}
	users := auth.Options{
		ServerName: Signer.ServerName, GuestsEnabled: true, Journal: env.Journal, Argon: auth.ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1},
	}
	if o.Users != nil {
		o.Users(&users)
	}
	env.Users = auth.New(o.Pool, users)
	env.Profiles = profile.New(o.Pool, env.Journal)
	options := rooms.Options{Pool: o.Pool, Journal: env.Journal, Profiles: env.Profiles, Signer: Signer, Guests: env.Users.Guests}
	if o.Rooms != nil {
		o.Rooms(&options)
	}
	env.Rooms = rooms.New(options)
	return env
}

// Run starts the journal, which stops when the test ends, and returns the Env.
func (env *Env) Run() *Env {
	env.T.Helper()
	env.OK(env.Journal.Start(env.T.Context()))
	env.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), matrixtest.Patience)
		defer cancel()
		if err := env.Journal.Stop(ctx); err != nil {
			env.T.Errorf("stop the journal: %v", err)
		}
	})
	return env
}

// OK ends the test if there is an error.
func (env *Env) OK(err error) {
	env.T.Helper()
	if err != nil {
		env.T.Fatal(err)
	}
}

// Account makes an account, and returns a session of it.
func (env *Env) Account(name string) matrix.Session {
	env.T.Helper()
	userID, err := env.Users.CreateAccount(env.T.Context(), auth.NewAccount{Username: name})
	env.OK(err)
	return matrix.Session{UserID: userID}
}

// Device logs a device of a user in, whose account is made if there is none, and returns its
// session.
func (env *Env) Device(name, deviceID string) matrix.Session {
	env.T.Helper()
	const password = "wordpass"
	_, err := env.Users.CreateAccount(env.T.Context(), auth.NewAccount{Username: name, Password: password})
	if !matrix.IsCode(err, matrix.UserInUse) {
		env.OK(err)
	}
	in, err := env.Users.Login(env.T.Context(), auth.LoginRequest{
		Type: "m.login.password", User: name, Password: password, DeviceID: deviceID,
	}, matrix.Client{Address: netip.IPv6Loopback()})
	env.OK(err)
	return matrix.Session{UserID: in.UserID, DeviceID: in.DeviceID}
}

// SetProfile sets a field of a profile to a text, as a client does.
func (env *Env) SetProfile(who matrix.Session, field, value string) {
	env.T.Helper()
	if err := env.Profiles.Set(env.T.Context(), who, who.UserID, field, Raw(value)); err != nil {
		env.T.Fatalf("set %s: %v", field, err)
	}
}
