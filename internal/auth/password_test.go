package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/argon2"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestHashIsAPHCString(t *testing.T) {
	t.Parallel()
	h := newHasher(cheapArgon, 0)

	phc, err := h.hash(t.Context(), "secret")
	must(t, err)

	parts := strings.Split(phc, "$")
	if len(parts) != 6 || strings.Join(parts[:4], "$") != "$argon2id$v=19$m=8,t=1,p=1" {
		t.Fatalf("got %s", phc)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	must(t, err)
	want := base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte("secret"), salt, 1, 8, 1, 32))
	if parts[5] != want {
		t.Errorf("got the hash %s, want %s", parts[5], want)
	}
	again, err := h.hash(t.Context(), "secret")
	must(t, err)
	if again == phc {
		t.Error("two hashes of one password are equal: no salt")
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	h := newHasher(cheapArgon, 0)
	old, err := newHasher(ArgonParams{MemoryKiB: 16, Passes: 2, Threads: 2}, 0).hash(t.Context(), "secret")
	must(t, err)
	empty, err := h.hash(t.Context(), "")
	must(t, err)
	composed, err := h.hash(t.Context(), "\u00e9")
	must(t, err)
	tests := map[string]struct {
		password, phc string
		want          bool
	}{
		"right":                           {"secret", old, true},
		"wrong":                           {"Secret", old, false},
		"trailing space":                  {"secret ", old, false},
		"empty":                           {"", empty, true},
		"no hash":                         {"", "", false},
		"another way to write the letter": {"e\u0301", composed, false},
	}
	for name, test := range tests {
		got, err := h.verify(t.Context(), test.password, test.phc)
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, test.want)
		}
	}
}

func TestVerifyRefusesWhatIsNotAHash(t *testing.T) {
	t.Parallel()
	h := newHasher(cheapArgon, 0)
	good := encodePHC(cheapArgon, make([]byte, 16), make([]byte, 32))
	tests := []string{
		"plain", "$argon2id$", "$2y$10$abcdefghijklmnopqrstuv",
		strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "p=1", "p=300", 1),
		good + "!",
		good[:strings.LastIndexByte(good, '$')],
		encodePHC(cheapArgon, nil, make([]byte, 32)),
		encodePHC(cheapArgon, make([]byte, 16), make([]byte, 8)),
	}
	for _, phc := range tests {
		ok, err := h.verify(t.Context(), "secret", phc)
		if ok || !errors.Is(err, errHash) {
			t.Errorf("%q: got %v, %v, want errHash", phc, ok, err)
		}
		if err != nil && strings.Contains(err.Error(), phc) {
			t.Errorf("the error shows the hash: %v", err)
		}
	}
}

func TestOutdated(t *testing.T) {
	t.Parallel()
	h := newHasher(ArgonParams{}, 0)
	if h.params != DefaultArgonParams() {
		t.Errorf("got %+v", h.params)
	}
	if h.outdated(h.nobody) {
		t.Error("a hash with today's parameters counts as outdated")
	}
	if !h.outdated(newHasher(cheapArgon, 0).nobody) {
		t.Error("a hash with other parameters does not count as outdated")
	}
}

// by makes a context of a request by a caller.
func by(t *testing.T, caller string) context.Context {
	t.Helper()
	return matrix.WithCaller(t.Context(), caller)
}

func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	h := newHasher(cheapArgon, 0)
	if _, err := h.all.Enter(t.Context(), "others", hashersAtOnce); err != nil {
		t.Fatal(err)
	}
	// All places are taken: a request that ends no longer waits.
	if _, err := h.hash(canceled(t), "secret"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the end of the request", err)
	}
	if h.networks.Held() != 0 || h.strangers.Held() != 0 {
		t.Error("one who gave up is counted")
	}
	h.all.Leave("others", hashersAtOnce)
	_, err := h.hash(t.Context(), "secret")
	must(t, err)
}

// One network could occupy every place in the queue, and known users waited behind it.
func TestOneNetworkHeldAllPlacesForPasswords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheapArgon, 0)
		h.familiar.add("192.0.2.1", "@alice:example.org")
		leave, err := h.enter(by(t, "198.51.100.0"))
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		refused := map[matrix.Code]int{}
		var mu sync.Mutex
		for i := range 100 {
			flood.Go(func() {
				leave, err := h.enter(matrix.WithCaller(ctx, fmt.Sprintf("198.51.100.%d", 1+i%50)))
				if e, ok := errors.AsType[*matrix.Error](err); ok {
					mu.Lock()
					refused[e.Code]++
					mu.Unlock()
				}
				if err == nil {
					leave()
				}
			})
		}
		synctest.Wait()
		if n := refused[matrix.LimitExceeded]; n != 100-maxHashersOfNetwork+1 {
			t.Errorf("%d were refused", n)
		}
		for _, caller := range []string{"192.0.2.1", "@alice:example.org", ""} {
			familiar, err := h.enter(by(t, caller)) // at once
			must(t, err)
			familiar()
		}
		cancel()
		flood.Wait()
		leave()
		if h.all.Held()+h.strangers.Held()+h.networks.Held() != 0 {
			t.Error("places are held")
		}
	})
}

func TestWiderNetwork(t *testing.T) {
	t.Parallel()
	for caller, want := range map[string]string{
		"192.0.2.77":           "192.0.2.0/24",
		"2001:db8:1:2::/64":    "2001:db8:1::/48",
		"@alice:example.org":   "@alice:example.org",
		"@a/b:[2001:db8::]":    "@a/b:[2001:db8::]",
		"":                     "",
		"@192.0.2.1:localhost": "@192.0.2.1:localhost",
	} {
		if got := widerNetwork(caller); got != want {
			t.Errorf("%q: got %q, want %q", caller, got, want)
		}
	}
}

// A hash that a tampered database holds could cost 4 TiB.
func TestAStoredHashCostWhateverItSaid(t *testing.T) {
	t.Parallel()
	h := newHasher(cheapArgon, 0)
	for name, phc := range map[string]string{
		"memory":  encodePHC(ArgonParams{MemoryKiB: 1 << 31, Passes: 1, Threads: 1}, make([]byte, 16), make([]byte, 32)),
		"passes":  encodePHC(ArgonParams{MemoryKiB: 8, Passes: 1 << 31, Threads: 1}, make([]byte, 16), make([]byte, 32)),
		"threads": encodePHC(ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 255}, make([]byte, 16), make([]byte, 32)),
		"length":  encodePHC(cheapArgon, make([]byte, 16), make([]byte, 1<<20)),
	} {
		if ok, err := h.verify(t.Context(), "secret", phc); ok || !errors.Is(err, errCostlyHash) {
			t.Errorf("%s: got %v, %v", name, ok, err)
		}
	}
}

// The same password, typed on two keyboards, was not the same.
func TestAPasswordTypedDecomposedWasWrong(t *testing.T) {
	t.Parallel()
	const composed, decomposed = "p\u00e4ssw\u00f6rd\u00a0x", "pa\u0308sswo\u0308rd x"
	s, _ := newTestService(t)
	_, err := s.CreateAccount(t.Context(), NewAccount{Username: "umlaut", Password: composed})
	must(t, err)
	for _, typed := range []string{composed, decomposed} {
		_, err := s.Login(t.Context(), loginRequest("umlaut", typed), testClient)
		must(t, err)
	}
	_, err = s.Login(t.Context(), loginRequest("umlaut", "passwords"), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)

	// A hash of before, of the password as it was typed, goes on working and is replaced.
	old, err := s.hasher.hash(t.Context(), decomposed)
	must(t, err)
	_, err = s.pool.Exec(t.Context(), `UPDATE accounts SET password_hash = $1`, old)
	must(t, err)
	_, err = s.Login(t.Context(), loginRequest("umlaut", composed), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	_, err = s.Login(t.Context(), loginRequest("umlaut", decomposed), testClient)
	must(t, err)
	_, err = s.Login(t.Context(), loginRequest("umlaut", composed), testClient)
	must(t, err)
}

func TestPasswordsWithControlCharacters(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	for password, code := range map[string]matrix.Code{
		"word\u0000word": matrix.InvalidParam,
		"wordword\n":     matrix.InvalidParam,
	} {
		matrixtest.WantCode(t, s.checkNewPassword(password), code)
	}
	must(t, s.checkNewPassword("\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f word"))
}

func TestChangePasswordLogsOtherDevicesOut(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	own := mustRegister(t, s, "example")
	other := mustLogin(t, s, "example")
	session := mustAuthenticate(t, s, own.AccessToken)
	mustAuthenticate(t, s, other.AccessToken)

	r := ChangePasswordRequest{NewPassword: "new", Auth: passwordAuth(t, "example", testPassword, "")}
	must(t, s.ChangePassword(t.Context(), session, r))

	mustAuthenticate(t, s, own.AccessToken)
	wantUnknown(t, s, other.AccessToken, false)
	_, err := s.Login(t.Context(), loginRequest("example", testPassword), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	_, err = s.Login(t.Context(), loginRequest("example", "new"), testClient)
	must(t, err)
}

func TestChangePasswordKeepsDevicesOnRequest(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	own := mustRegister(t, s, "example")
	other := mustLogin(t, s, "example")
	session := mustAuthenticate(t, s, own.AccessToken)

	r := ChangePasswordRequest{NewPassword: "new", LogoutDevices: new(false), Auth: passwordAuth(t, "example", testPassword, "")}
	must(t, s.ChangePassword(t.Context(), session, r))

	mustAuthenticate(t, s, own.AccessToken)
	mustAuthenticate(t, s, other.AccessToken)
}

func TestChangePasswordRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, func(o *Options) { o.MinPasswordLength = 6 })
	session := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	mustRegister(t, s, "another")
	change := func(password string, auth []byte) error {
		return s.ChangePassword(t.Context(), session, ChangePasswordRequest{NewPassword: password, Auth: auth})
	}

	matrixtest.WantCode(t, change("", passwordAuth(t, "example", testPassword, "")), matrix.MissingParam)
	matrixtest.WantCode(t, change("short", passwordAuth(t, "example", testPassword, "")), matrix.WeakPassword)
	wantChallenge(t, change("long enough", nil), "")
	wantChallenge(t, change("long enough", passwordAuth(t, "example", "wrong", "")), matrix.Forbidden)
	wantChallenge(t, change("long enough", passwordAuth(t, "another", testPassword, "")), matrix.Forbidden)
	wantChallenge(t, change("long enough", dummyAuth), matrix.Unrecognized)
	mustLogin(t, s, "example")
}

func TestChangePasswordWithoutAccessToken(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	own := mustRegister(t, s, "example")

	r := ChangePasswordRequest{NewPassword: "new"}
	first := wantChallenge(t, s.ChangePassword(t.Context(), matrix.Session{}, r), "")
	r.Auth = passwordAuth(t, "example", testPassword, first.Session)
	must(t, s.ChangePassword(t.Context(), matrix.Session{}, r))

	wantUnknown(t, s, own.AccessToken, false)
	_, err := s.Login(t.Context(), loginRequest("example", "new"), testClient)
	must(t, err)
}

func TestChangePasswordEndsOtherInteractions(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	session := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	begun := wantChallenge(t, s.Sessions.DeleteDevice(t.Context(), session, "x", nil), "").Session
	must(t, s.SetPassword(t.Context(), "example", "new", false))

	err := s.Sessions.DeleteDevice(t.Context(), session, "x", passwordAuth(t, "example", "new", begun))

	if again := wantChallenge(t, err, matrix.Unknown); again.Session == begun {
		t.Error("the session goes on")
	}
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	got := mustRegister(t, s, "example", func(r *RegisterRequest) { r.Password = "" })
	other := sibling(s)
	mustAuthenticate(t, other, got.AccessToken)

	must(t, s.SetPassword(t.Context(), "example", testPassword, false))
	mustAuthenticate(t, s, got.AccessToken)
	mustLogin(t, s, "example")
	must(t, s.SetPassword(t.Context(), "@example:test.example", "new", true))
	wantUnknown(t, s, got.AccessToken, false)

	matrixtest.WantCode(t, s.SetPassword(t.Context(), "nobody", "new", false), matrix.NotFound)
	matrixtest.WantCode(t, s.SetPassword(t.Context(), "@a:other.example", "new", false), matrix.Forbidden)
	matrixtest.WantCode(t, s.SetPassword(t.Context(), "example", "", false), matrix.WeakPassword)
	must(t, s.DeactivateAccount(t.Context(), "example", false))
	matrixtest.WantCode(t, s.SetPassword(t.Context(), "example", "new", false), matrix.UserDeactivated)
}

func TestPasswordsAreNotStored(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	got := mustRegister(t, s, "example", func(r *RegisterRequest) { r.RefreshToken = true })
	for _, secret := range []string{testPassword, got.AccessToken, got.RefreshToken} {
		n := count(t, s, `
			SELECT count(*) FROM (
				SELECT a::text AS row FROM accounts a UNION ALL SELECT t::text FROM access_tokens t
				UNION ALL SELECT r::text FROM refresh_tokens r UNION ALL SELECT d::text FROM devices d) x
			WHERE position($1 IN row) > 0 OR position(encode($1::bytea, 'hex') IN row) > 0`, secret)
		if n != 0 {
			t.Errorf("%d rows hold the secret %s", n, secret)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newHasher(DefaultArgonParams(), 0)
	for b.Loop() {
		if _, err := h.verify(b.Context(), "secret", ""); err != nil {
			b.Fatal(err)
		}
	}
}
