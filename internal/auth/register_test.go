package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestRegisterLogsADeviceIn(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	got := mustRegister(t, s, "example")

	if got.UserID != "@example:test.example" || got.HomeServer != testServer {
		t.Fatalf("got %s on %s", got.UserID, got.HomeServer)
	}
	if !regexp.MustCompile(`^[A-Z2-7]{10}$`).MatchString(got.DeviceID) {
		t.Errorf("got the device ID %q, want ten capitals", got.DeviceID)
	}
	want := matrix.Session{UserID: got.UserID, DeviceID: got.DeviceID}
	if session := mustAuthenticate(t, s, got.AccessToken); session != want {
		t.Errorf("the token belongs to %+v, want %+v", session, want)
	}
	if got.RefreshToken != "" || got.ExpiresInMS != 0 {
		t.Errorf("got a refresh token that was not asked for: %+v", got)
	}
	mustLogin(t, s, "example")
}

func TestRegisterWithInhibitLoginMakesNoDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	body, err := json.Marshal(mustRegister(t, s, "plain", func(r *RegisterRequest) { r.InhibitLogin = true }))
	must(t, err)

	if want := `{"user_id":"@plain:test.example","home_server":"test.example"}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	if n := count(t, s, `SELECT count(*) FROM devices`); n != 0 {
		t.Errorf("got %d devices, want none", n)
	}
}

func TestRegisterUsesTheDeviceOfTheClient(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)

	got := mustRegister(t, s, "example", func(r *RegisterRequest) {
		r.DeviceID, r.InitialDeviceDisplayName = "phone", "My phone"
	})

	want := session.Device{DeviceID: "phone", DisplayName: "My phone", LastSeenIP: "192.0.2.7", LastSeenTS: c.Now().UnixMilli()}
	device, err := s.Sessions.Device(t.Context(), got.UserID, "phone")
	must(t, err)
	if device != want {
		t.Errorf("got %+v, want %+v", device, want)
	}
}

func TestRegisterMakesUpAName(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	one, other := mustRegister(t, s, ""), mustRegister(t, s, "")

	if one.UserID == other.UserID {
		t.Fatalf("got %s twice", one.UserID)
	}
	localpart, _, err := matrix.ParseUserID(one.UserID)
	if err != nil || !matrix.IsUserLocalpart(localpart) {
		t.Errorf("got the user ID %s, which is not a legal one: %v", one.UserID, err)
	}
}

func TestRegisterWithoutPasswordAllowsNoLogin(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	got := mustRegister(t, s, "example", func(r *RegisterRequest) { r.Password = "" })

	mustAuthenticate(t, s, got.AccessToken)
	_, err := s.Login(t.Context(), loginRequest("example", ""), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
}

func TestRegisterNames(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	longest := strings.Repeat("a", 255-len("@:"+testServer))
	tests := []struct {
		name, username string
		want           string // local part; "" for M_INVALID_USERNAME
	}{
		{"all of the grammar", "az09._=-/+", "az09._=-/+"},
		{"capitals are lowered", "BigName", "bigname"},
		{"digits only", "12345", "12345"},
		{"the longest", longest, longest},
		{"too long", longest + "a", ""},
		{"space", "two words", ""},
		{"a whole user ID", "@someone:test.example", ""},
		{"colon", "a:b", ""},
		{"not ASCII", "grün", ""},
		{"a letter that Unicode lowers to k", "\u212Aelvin", ""},
		{"NUL", "a\x00b", ""},
		{"not UTF-8", "a\xff", ""},
	}
	for _, test := range tests {
		available := s.CheckAvailable(t.Context(), test.username)
		got, err := s.Register(t.Context(), RegisterRequest{Username: test.username, Auth: dummyAuth}, testClient)
		if test.want == "" {
			matrixtest.WantCode(t, available, matrix.InvalidUsername)
			matrixtest.WantCode(t, err, matrix.InvalidUsername)
			continue
		}
		if available != nil || err != nil || got.UserID != userID(test.want) {
			t.Errorf("%s: got %s, %v and %v, want %s", test.name, got.UserID, available, err, userID(test.want))
		}
	}
}

func TestRegisterRefusesATakenName(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "gone")
	must(t, s.DeactivateAccount(t.Context(), userID("gone"), false))
	mustRegister(t, s, "active")

	for _, name := range []string{"gone", "GONE", "active"} {
		_, err := s.Register(t.Context(), RegisterRequest{Username: name, Auth: dummyAuth}, testClient)
		matrixtest.WantCode(t, err, matrix.UserInUse)
		matrixtest.WantCode(t, s.CheckAvailable(t.Context(), name), matrix.UserInUse)
	}
}

func TestRegisterChecksEverythingBeforeAskingForAuthentication(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, func(o *Options) { o.MinPasswordLength = 8 })
	mustRegister(t, s, "taken")
	tests := []struct {
		name string
		r    RegisterRequest
		want matrix.Code // "" where authentication is asked for
	}{
		{"taken", RegisterRequest{Username: "taken"}, matrix.UserInUse},
		{"bad name", RegisterRequest{Username: "no good"}, matrix.InvalidUsername},
		{"short password", RegisterRequest{Username: "fresh", Password: "1234567"}, matrix.WeakPassword},
		{"guest", RegisterRequest{Kind: "guest"}, matrix.GuestAccessForbidden},
		{"unknown kind", RegisterRequest{Kind: "robot"}, matrix.InvalidParam},
		{"long device ID", RegisterRequest{DeviceID: strings.Repeat("D", 256)}, matrix.InvalidParam},
		{"device ID with NUL", RegisterRequest{DeviceID: "a\x00b"}, matrix.InvalidParam},
		{"device name that is not UTF-8", RegisterRequest{InitialDeviceDisplayName: "\xff"}, matrix.InvalidParam},
		{"nothing wrong", RegisterRequest{Username: "fresh", Password: "12345678", Kind: "user"}, ""},
		{"the length is counted in characters", RegisterRequest{Password: "ääääääää"}, ""},
	}
	for _, test := range tests {
		_, err := s.Register(t.Context(), test.r, testClient)
		if e, ok := errors.AsType[*matrix.Error](err); !ok || e.Code != test.want {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestRegisterCanBeDisabled(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, func(o *Options) { o.RegistrationEnabled = false })

	_, err := s.Register(t.Context(), RegisterRequest{Username: "a", Auth: dummyAuth}, testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	matrixtest.WantCode(t, s.CheckAvailable(t.Context(), "a"), matrix.Forbidden)
}

func TestRegisterAsksForAuthentication(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	r := RegisterRequest{Username: "example", Password: testPassword}

	_, err := s.Register(t.Context(), r, testClient)
	first := wantChallenge(t, err, "")
	if first.Flows[0].Stages[0] != uia.StageDummy || first.Completed != nil {
		t.Fatalf("got %+v, want the flow m.login.dummy and nothing completed", first)
	}

	r.Auth = fmt.Appendf(nil, `{"type":"m.login.dummy","session":%q}`, first.Session)
	got, err := s.Register(t.Context(), r, testClient)
	must(t, err)
	mustAuthenticate(t, s, got.AccessToken)
	if n := count(t, s, `SELECT count(*) FROM interactive_sessions`); n != 0 {
		t.Errorf("got %d interactive sessions, want the one used up", n)
	}
}

func TestRegisterKeepsTheAuthenticationWhenTheNameHasBeenTaken(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	_, err := s.Register(t.Context(), RegisterRequest{Username: "wanted"}, testClient)
	session := wantChallenge(t, err, "").Session
	auth := fmt.Appendf(nil, `{"type":"m.login.dummy","session":%q}`, session)
	op := uia.Operation{Name: "POST /register", Flows: [][]string{{uia.StageDummy}}}
	proof, err := s.o.Stages.Interact(t.Context(), op, auth)
	must(t, err)
	mustRegister(t, s, "wanted")

	// The name was taken between the check and the transaction.
	wanted := registration{account: account.Account{UserID: userID("wanted")}}
	_, err = s.register(t.Context(), wanted, testPassword, testClient, proof)
	matrixtest.WantCode(t, err, matrix.UserInUse)

	r := RegisterRequest{Username: "another", Auth: fmt.Appendf(nil, `{"session":%q}`, session)}
	got, err := s.Register(t.Context(), r, testClient)
	must(t, err)
	if got.UserID != userID("another") {
		t.Errorf("got %s", got.UserID)
	}
}

func TestRegisterOneNameManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	const clients = 8
	results := make(chan error, clients)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			r := RegisterRequest{Username: "one", Password: testPassword, Auth: dummyAuth}
			_, err := s.Register(t.Context(), r, testClient)
			results <- err
		})
	}
	group.Wait()
	close(results)

	registered := 0
	for err := range results {
		if err == nil {
			registered++
			continue
		}
		matrixtest.WantCode(t, err, matrix.UserInUse)
	}
	if registered != 1 {
		t.Errorf("%d registrations succeeded, want 1", registered)
	}
	if n := count(t, s, `SELECT count(*) FROM devices`); n != 1 {
		t.Errorf("got %d devices, want that of the registration that succeeded", n)
	}
}

func TestRegisterIsAtomic(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	_, err := s.pool.Exec(t.Context(), `ALTER TABLE access_tokens ADD CHECK (generation > 1)`)
	must(t, err)

	_, err = s.Register(t.Context(), RegisterRequest{Username: "half", Auth: dummyAuth}, testClient)

	if err == nil {
		t.Fatal("registered without a token")
	}
	if n := count(t, s, `SELECT count(*) FROM accounts`); n != 0 {
		t.Errorf("got %d accounts, want none", n)
	}
}

func TestRegisterTellsWhenTheRequestHasEnded(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	_, err := s.Register(canceled(t), RegisterRequest{Username: "a", Auth: dummyAuth}, testClient)

	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the reason to be wrapped", err)
	}
}
