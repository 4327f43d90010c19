package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestLoginIdentifiesTheUser(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	tests := map[string]LoginRequest{
		"local part":                   {Identifier: &Identifier{Type: "m.id.user", User: "example"}},
		"user ID":                      {Identifier: &Identifier{Type: "m.id.user", User: "@example:test.example"}},
		"deprecated user":              {User: "example"},
		"deprecated user ID":           {User: "@example:test.example"},
		"capitals":                     {User: "EXAMPLE"},
		"capitals in a user ID":        {User: "@Example:test.example"},
		"identifier goes before user":  {Identifier: &Identifier{Type: "m.id.user", User: "example"}, User: "other"},
		"identifier goes before email": {Identifier: &Identifier{Type: "m.id.user", User: "example"}, Medium: "email"},
	}
	for name, r := range tests {
		r.Type, r.Password = uia.StagePassword, testPassword
		got, err := s.Login(t.Context(), r, testClient)
		if err != nil || got.UserID != userID("example") || got.HomeServer != testServer {
			t.Errorf("%s: got %+v, %v", name, got, err)
			continue
		}
		mustAuthenticate(t, s, got.AccessToken)
	}
}

func TestLoginRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	user := func(name string) *Identifier { return &Identifier{Type: "m.id.user", User: name} }
	tests := map[string]struct {
		r    LoginRequest
		want matrix.Code
	}{
		"no type":              {LoginRequest{Identifier: user("example"), Password: testPassword}, matrix.MissingParam},
		"unknown type":         {LoginRequest{Type: "m.login.magic", Password: testPassword}, matrix.Unknown},
		"nobody named":         {LoginRequest{Type: uia.StagePassword, Password: testPassword}, matrix.MissingParam},
		"empty user":           {LoginRequest{Type: uia.StagePassword, Identifier: user("")}, matrix.MissingParam},
		"unknown identifier":   {LoginRequest{Type: uia.StagePassword, Identifier: &Identifier{Type: "m.id.fax"}}, matrix.InvalidParam},
		"identifier of email":  {LoginRequest{Type: uia.StagePassword, Identifier: &Identifier{Type: "m.id.thirdparty", Medium: "email", Address: "a@b"}}, matrix.Forbidden},
		"email without type":   {LoginRequest{Type: uia.StagePassword, Identifier: &Identifier{Medium: "email", Address: "a@b"}}, matrix.Forbidden},
		"deprecated email":     {LoginRequest{Type: uia.StagePassword, Medium: "email", Address: "a@b"}, matrix.Forbidden},
		"phone":                {LoginRequest{Type: uia.StagePassword, Identifier: &Identifier{Type: "m.id.phone", Country: "GB", Phone: "1"}}, matrix.Forbidden},
		"wrong password":       {loginRequest("example", "wrong"), matrix.Forbidden},
		"password of capitals": {loginRequest("example", "CORRECT HORSE"), matrix.Forbidden},
		"no password":          {loginRequest("example", ""), matrix.Forbidden},
		"unknown user":         {loginRequest("nobody", testPassword), matrix.Forbidden},
		"user elsewhere":       {loginRequest("@example:other.example", testPassword), matrix.Forbidden},
		"not a user ID":        {loginRequest("@example", testPassword), matrix.Forbidden},
		"NUL in the name":      {loginRequest("exa\x00mple", testPassword), matrix.Forbidden},
		"name not UTF-8":       {loginRequest("\xff", testPassword), matrix.Forbidden},
		"only an at sign":      {loginRequest("@:test.example", testPassword), matrix.Forbidden},
		"bad device":           {LoginRequest{Type: uia.StagePassword, User: "example", Password: testPassword, DeviceID: "\x00"}, matrix.InvalidParam},
	}
	for name, test := range tests {
		_, err := s.Login(t.Context(), test.r, testClient)
		if e, ok := errors.AsType[*matrix.Error](err); !ok || e.Code != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestLoginTellsNothingAboutWhoExists(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	mustRegister(t, s, "passwordless", func(r *RegisterRequest) { r.Password = "" })
	mustRegister(t, s, "gone")
	must(t, s.DeactivateAccount(t.Context(), "gone", false))

	for _, name := range []string{"example", "nobody", "passwordless", "gone"} {
		_, err := s.Login(t.Context(), loginRequest(name, "wrong"), testClient)
		e := matrixtest.WantCode(t, err, matrix.Forbidden)
		if e.Message != "Invalid username or password" || e.HTTPStatus() != http.StatusForbidden {
			t.Errorf("%s: got %d %q", name, e.HTTPStatus(), e.Message)
		}
	}
}

func TestLoginOfADeactivatedUser(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "gone")
	must(t, s.DeactivateAccount(t.Context(), "gone", false))

	_, err := s.Login(t.Context(), loginRequest("gone", testPassword), testClient)

	if e := matrixtest.WantCode(t, err, matrix.UserDeactivated); e.HTTPStatus() != http.StatusForbidden {
		t.Errorf("got status %d, want 403", e.HTTPStatus())
	}
}

func TestLoginPrefersTheNameAsTyped(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "old")
	hash, err := s.hasher.hash(t.Context(), "historical")
	must(t, err)
	// A user ID from before the grammar was made strict.
	_, err = s.pool.Exec(t.Context(), `INSERT INTO accounts (user_id, password_hash, created_at) VALUES ('@Old:test.example', $1, 0)`, hash)
	must(t, err)

	got, err := s.Login(t.Context(), loginRequest("Old", "historical"), testClient)
	must(t, err)
	if got.UserID != "@Old:test.example" {
		t.Errorf("got %s", got.UserID)
	}
	if got := mustLogin(t, s, "OLD"); got.UserID != "@old:test.example" {
		t.Errorf("got %s", got.UserID)
	}
}

func TestLoginWithAKnownDeviceReplacesItsTokens(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", onDevice("phone"), func(r *LoginRequest) {
		r.InitialDeviceDisplayName, r.RefreshToken = "My phone", true
	})
	other := mustLogin(t, s, "example", onDevice("laptop"))
	mustAuthenticate(t, s, first.AccessToken)
	mustAuthenticate(t, s, other.AccessToken)
	c.Pass(time.Hour / 2)

	second := mustLogin(t, s, "example", onDevice("phone"), func(r *LoginRequest) {
		r.InitialDeviceDisplayName = "Another name"
	})

	wantUnknown(t, s, first.AccessToken, true)
	_, err := s.Sessions.Refresh(t.Context(), first.RefreshToken)
	wantSoftLogout(t, err, true)
	mustAuthenticate(t, s, second.AccessToken)
	mustAuthenticate(t, s, other.AccessToken)
	device, err := s.Sessions.Device(t.Context(), userID("example"), "phone")
	must(t, err)
	if device.DisplayName != "My phone" || device.LastSeenTS != c.Now().UnixMilli() {
		t.Errorf("got %+v, want the first name, seen now", device)
	}
}

func TestLoginOnTheSameDeviceIDOfAnotherUser(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "one")
	mustRegister(t, s, "two")

	first := mustLogin(t, s, "one", onDevice("same"))
	second := mustLogin(t, s, "two", onDevice("same"))

	if got := mustAuthenticate(t, s, first.AccessToken); got.UserID != userID("one") {
		t.Errorf("got %+v", got)
	}
	if got := mustAuthenticate(t, s, second.AccessToken); got.UserID != userID("two") {
		t.Errorf("got %+v", got)
	}
}

func TestLoginManyTimesAtOnceOnOneDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	tokens := make(chan string, 6)
	var group sync.WaitGroup
	for range cap(tokens) {
		group.Go(func() {
			r := loginRequest("example", testPassword)
			r.DeviceID = "phone"
			got, err := s.Login(t.Context(), r, testClient)
			if err != nil {
				t.Error(err)
			}
			tokens <- got.AccessToken
		})
	}
	group.Wait()
	close(tokens)

	good := 0
	for token := range tokens {
		if _, err := s.Sessions.Authenticate(t.Context(), token); err == nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("%d tokens of one device are good, want 1", good)
	}
}

func TestLoginForgetsTheDeviceThatWasSilentForLongest(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "busy", func(r *RegisterRequest) { r.DeviceID = "first" })
	mustAuthenticate(t, s, got.AccessToken)
	_, err := s.pool.Exec(t.Context(), `
		INSERT INTO devices (user_id, device_id, created_at, last_seen_ts, last_seen_ip, user_agent)
		SELECT $1, 'd' || n, 0, $2, '', '' FROM generate_series(2, $3::int) n`,
		got.UserID, c.Now().UnixMilli()+1, maxDevices)
	must(t, err)
	c.Pass(time.Second)

	mustLogin(t, s, "busy", onDevice("d2"))
	mustAuthenticate(t, s, got.AccessToken)
	mustLogin(t, s, "busy", onDevice("last"))

	wantUnknown(t, s, got.AccessToken, false)
	if n := count(t, s, `SELECT count(*) FROM devices`); n != maxDevices {
		t.Errorf("got %d devices, want %d", n, maxDevices)
	}
	_, err = s.Sessions.Device(t.Context(), got.UserID, "last")
	must(t, err)
}

func TestLoginHashesAnewAfterAChangeOfParameters(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	costlier := s.o
	costlier.Argon = ArgonParams{MemoryKiB: 16, Passes: 2, Threads: 1}
	later := New(s.pool, costlier)

	mustLogin(t, later, "example")

	like := fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%%", 16, 2, 1)
	if n := count(t, s, `SELECT count(*) FROM accounts WHERE password_hash LIKE $1`, like); n != 1 {
		t.Error("the hash still has the old parameters")
	}
	mustLogin(t, later, "example")
	mustLogin(t, s, "example")
}

// Where the hash of a password was outdated, one of several logins at once replaced it,
// and the others failed as with a wrong password.
func TestLoginsAtOnceWithAnOutdatedHash(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	costlier := s.o
	costlier.Argon = ArgonParams{MemoryKiB: 16, Passes: 2, Threads: 1}
	later := New(s.pool, costlier)
	var logins sync.WaitGroup
	for range 8 {
		logins.Go(func() {
			if _, err := later.Login(t.Context(), loginRequest("example", testPassword), testClient); err != nil {
				t.Error(err)
			}
		})
	}
	logins.Wait()
}

func TestLoginWithAPasswordThatWasChangedMeanwhile(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	checked, _, err := s.checkPassword(t.Context(), userName{name: "example"}, testPassword)
	must(t, err)

	must(t, s.SetPassword(t.Context(), "example", "another", true))

	_, err = s.logIn(t.Context(), checked, session.NewDevice{}, testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
}

func TestLoginFailuresAreLimitedByAccountAndAddress(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t, limitFailedLogins(ratelimit.Limit{PerSecond: 0.1, Burst: 3}))
	mustRegister(t, s, "example")
	mustRegister(t, s, "another")
	here := by(t, "198.51.100.1")
	for range 3 {
		_, err := s.Login(here, loginRequest("Example", "wrong"), testClient)
		matrixtest.WantCode(t, err, matrix.Forbidden)
	}

	_, err := s.Login(here, loginRequest("@example:test.example", testPassword), testClient)
	if e := matrixtest.WantCode(t, err, matrix.LimitExceeded); e.RetryAfter != 10*time.Second {
		t.Errorf("got RetryAfter %v, want 10s", e.RetryAfter)
	}
	_, err = s.Login(here, loginRequest("another", testPassword), testClient)
	must(t, err)
	_, err = s.Login(by(t, "198.51.100.2"), loginRequest("example", testPassword), testClient)
	must(t, err)
	c.Pass(10 * time.Second)
	_, err = s.Login(here, loginRequest("example", testPassword), testClient)
	must(t, err)
}

// A stranger who knew a user name could lock the owner out by guessing all the time.
func TestGuessesOfOthersLockedOutTheOwner(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, func(o *Options) {
		o.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
			ratelimit.FailedLogin:        {PerSecond: 0.1, Burst: 3},
			ratelimit.FailedLoginAccount: {PerSecond: 0.1, Burst: 5},
		}, o.Now, 0)
	})
	owner := mustRegister(t, s, "example")
	home := by(t, "192.0.2.1")
	_, err := s.Login(home, loginRequest("example", testPassword), testClient)
	must(t, err)
	for i := range 5 {
		_, err := s.Login(by(t, fmt.Sprintf("198.51.100.%d", i)), loginRequest("example", "wrong"), testClient)
		matrixtest.WantCode(t, err, matrix.Forbidden)
	}
	_, err = s.Login(by(t, "203.0.113.1"), loginRequest("example", testPassword), testClient)
	matrixtest.WantCode(t, err, matrix.LimitExceeded) // it could be one of them

	_, err = s.Login(home, loginRequest("example", testPassword), testClient)
	must(t, err)
	session := mustAuthenticate(t, s, owner.AccessToken)
	must(t, s.Sessions.DeleteDevice(by(t, session.UserID), session, "x", passwordAuth(t, "example", testPassword, "")))
}

// A thief of an access token could guess the password without a limit.
func TestAStolenTokenAllowedEndlessGuesses(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, limitFailedLogins(ratelimit.Limit{PerSecond: 0.1, Burst: 3}))
	session := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	stolen := by(t, session.UserID)
	for range 3 {
		wantChallenge(t, s.Sessions.DeleteDevice(stolen, session, "x", passwordAuth(t, "example", "wrong", "")), matrix.Forbidden)
	}
	matrixtest.WantCode(t, s.Sessions.DeleteDevice(stolen, session, "x", passwordAuth(t, "example", testPassword, "")), matrix.LimitExceeded)
	_, err := s.Login(by(t, "192.0.2.1"), loginRequest("example", testPassword), testClient)
	must(t, err)
}

// A user with a network of addresses displaced the addresses of others from memory.
func TestOneUserFilledTheMemoryForAddresses(t *testing.T) {
	t.Parallel()
	f := newFamiliar(20_000)
	const home, alice, flood = "192.0.2.1", "@alice:example.org", "@flood:example.org"
	f.add(home, alice)
	for i := range 1000 {
		f.add(fmt.Sprintf("2001:db8:0:%x::/64", i), flood)
		f.add("198.51.100.1", flood) // stays, since it is used all the time
	}
	if !f.knows(home) || !f.knowsAt(home, []string{alice}) {
		t.Error("the address of another was pushed out")
	}
	if !f.knowsAt("198.51.100.1", []string{flood}) || !f.knows("2001:db8:0:3e7::/64") || f.knows("2001:db8:0:1::/64") {
		t.Error("not the latest addresses of the user are known")
	}
}

// Addresses are remembered over a restart, by the devices that were seen there.
func TestAddressesWereNewAfterARestart(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	c.Pass(time.Second)
	s.Sessions.Seen(mustAuthenticate(t, s, got.AccessToken), matrix.Client{Address: netip.MustParseAddr("2001:db8:1:2::3")})
	must(t, s.Sessions.WriteSeen(t.Context()))
	if !s.hasher.familiar.knows("2001:db8:1:2::/64") {
		t.Error("an address is new after it was seen")
	}
	again := New(s.pool, s.o)
	must(t, again.Sessions.LastAddresses(t.Context(), maxRecalled, again.hasher.familiar.addSeen))
	if f := again.hasher.familiar; !f.knowsAt("2001:db8:1:2::/64", []string{got.UserID}) || f.knows("2001:db8:1:3::/64") {
		t.Error("an address is new after a restart, or another is not")
	}
}

func TestLoginSuccessesDoNotCountAsFailures(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, limitFailedLogins(ratelimit.Limit{PerSecond: 0.1, Burst: 2}))
	mustRegister(t, s, "example")

	for range 6 {
		mustLogin(t, s, "example")
	}
}

func TestPasswordsOfAppsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, func(o *Options) { o.NoPasswordLogin = true })
	mustRegister(t, s, "example")

	if got := s.LoginTypes(); !slices.Equal(got, []string{LoginByToken}) {
		t.Errorf("got %v", got)
	}
	_, err := s.Login(t.Context(), LoginRequest{Type: "m.login.password", User: "example", Password: testPassword}, testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	must(t, s.CheckPassword(t.Context(), "example", testPassword)) // of the pages
}

func TestLoginTypes(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	if got := s.LoginTypes(); !slices.Equal(got, []string{"m.login.password", "m.login.token"}) {
		t.Errorf("got %v", got)
	}
}
