package main

import (
	"os"
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == bareHandlerArg {
		main() // this program again, as one of its tests starts it
	}
	postgrestest.Main(m)
}

func TestAccountsAreLoggedIn(t *testing.T) {
	t.Parallel()
	h := &house{pool: postgrestest.New(t)}
	users, err := h.accounts(t.Context(), "test", 3)
	if err != nil || len(users) != 3 {
		t.Fatalf("made %v: %v", users, err)
	}
	service := auth.New(h.pool, auth.Options{ServerName: "localhost"})
	for _, u := range users {
		session, err := service.Sessions.Authenticate(t.Context(), u.token)
		if err != nil || session.UserID != u.id || session.DeviceID != "BENCHMARK" {
			t.Errorf("%v is %+v: %v", u, session, err)
		}
	}
	if _, err := h.accounts(t.Context(), "test", 1); err == nil {
		t.Error("made the same account twice")
	}
}

func TestReadRefusesAQueryThatFindsNothing(t *testing.T) {
	t.Parallel()
	h := &house{pool: postgrestest.New(t)}
	if err := h.read(t.Context(), `SELECT '\x01'::bytea`); err != nil {
		t.Error(err)
	}
	for _, query := range []string{`SELECT '\x01'::bytea WHERE false`, `SELECT 1/0`, `nonsense`} {
		if err := h.read(t.Context(), query); err == nil {
			t.Errorf("%s: no error", query)
		}
	}
}

func TestSettlingWaitsForEveryFollower(t *testing.T) {
	t.Parallel()
	h := &house{pool: postgrestest.New(t)}
	for _, statement := range []string{
		`UPDATE journal SET position = 5`,
		`INSERT INTO followers VALUES ('first', 5), ('second', 4)`,
	} {
		if _, err := h.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	settled := make(chan error, 1)
	go func() { settled <- h.settle(t.Context()) }()
	select {
	case err := <-settled:
		t.Errorf("settled too early: %v", err)
	default:
	}
	if _, err := h.pool.Exec(t.Context(), `UPDATE followers SET position = 5`); err != nil {
		t.Fatal(err)
	}
	if err := <-settled; err != nil {
		t.Error(err)
	}
}
