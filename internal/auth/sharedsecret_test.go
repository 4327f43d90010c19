package auth

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func withSharedSecret(o *Options) { o.SharedSecret, o.RegistrationEnabled = "shared", false }

// sign returns the MAC that a tool would send.
func sign(r SharedSecretRequest, secret string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	role := "notadmin"
	if r.Admin {
		role = "admin"
	}
	text := fmt.Sprintf("%s\x00%s\x00%s\x00%s", r.Nonce, r.Username, r.Password, role)
	if r.UserType != "" {
		text += "\x00" + r.UserType
	}
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

func mustNonce(t *testing.T, s *Service) string {
	t.Helper()
	nonce, err := s.RegistrationNonce()
	must(t, err)
	return nonce
}

func TestSharedSecretRegisters(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, withSharedSecret)
	tests := []SharedSecretRequest{
		{Username: "root", Password: testPassword, Admin: true},
		{Username: "plain", Password: testPassword},
		{Username: "Bot", Password: testPassword, UserType: "bot"},
	}
	for _, r := range tests {
		r.Nonce = mustNonce(t, s)
		r.MAC = sign(r, "shared")
		got, err := s.RegisterWithSharedSecret(t.Context(), r, testClient)
		must(t, err)
		session := mustAuthenticate(t, s, got.AccessToken)
		if session.Admin != r.Admin || session.DeviceID != got.DeviceID || got.HomeServer != testServer {
			t.Errorf("got %+v and %+v", got, session)
		}
		mustLogin(t, s, r.Username)
	}
}

func TestSharedSecretRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, withSharedSecret, func(o *Options) { o.MinPasswordLength = 4 })
	_, err := s.CreateAccount(t.Context(), NewAccount{Username: "taken"})
	must(t, err)
	tests := map[string]struct {
		change func(*SharedSecretRequest) // before it is signed
		after  func(*SharedSecretRequest)
		want   matrix.Code
	}{
		"another password":     {after: func(r *SharedSecretRequest) { r.Password = "changed" }, want: matrix.Forbidden},
		"made an admin":        {after: func(r *SharedSecretRequest) { r.Admin = true }, want: matrix.Forbidden},
		"another user type":    {after: func(r *SharedSecretRequest) { r.UserType = "bot" }, want: matrix.Forbidden},
		"wrong secret":         {after: func(r *SharedSecretRequest) { r.MAC = sign(*r, "other") }, want: matrix.Forbidden},
		"MAC not hexadecimal":  {after: func(r *SharedSecretRequest) { r.MAC = "xyz" }, want: matrix.Forbidden},
		"MAC of another nonce": {after: func(r *SharedSecretRequest) { r.Nonce = mustNonce(t, s) }, want: matrix.Forbidden},
		"no MAC":               {after: func(r *SharedSecretRequest) { r.MAC = "" }, want: matrix.MissingParam},
		"no nonce":             {after: func(r *SharedSecretRequest) { r.Nonce = "" }, want: matrix.MissingParam},
		"no user":              {change: func(r *SharedSecretRequest) { r.Username = "" }, want: matrix.MissingParam},
		"no password":          {change: func(r *SharedSecretRequest) { r.Password = "" }, want: matrix.MissingParam},
		"unknown nonce":        {change: func(r *SharedSecretRequest) { r.Nonce = "x" }, want: matrix.Unknown},
		"NUL":                  {change: func(r *SharedSecretRequest) { r.Password = "a\x00b" }, want: matrix.InvalidParam},
		"bad name":             {change: func(r *SharedSecretRequest) { r.Username = "a b" }, want: matrix.InvalidUsername},
		"taken name":           {change: func(r *SharedSecretRequest) { r.Username = "taken" }, want: matrix.UserInUse},
		"weak password":        {change: func(r *SharedSecretRequest) { r.Password = "abc" }, want: matrix.WeakPassword},
	}
	for name, test := range tests {
		r := SharedSecretRequest{Nonce: mustNonce(t, s), Username: "example", Password: testPassword}
		if test.change != nil {
			test.change(&r)
		}
		r.MAC = sign(r, "shared")
		if test.after != nil {
			test.after(&r)
		}
		_, err := s.RegisterWithSharedSecret(t.Context(), r, testClient)
		if e, ok := errors.AsType[*matrix.Error](err); !ok || e.Code != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM accounts`); n != 1 {
		t.Errorf("got %d accounts, want the one there was", n)
	}
}

func TestSharedSecretIsOffWithoutASecret(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	_, err := s.RegistrationNonce()
	if e := matrixtest.WantCode(t, err, matrix.Unknown); e.HTTPStatus() != 400 || e.Message != "Shared secret registration is not enabled" {
		t.Errorf("got %d %q", e.HTTPStatus(), e.Message)
	}
	r := SharedSecretRequest{Nonce: "x", Username: "root", Password: "x", Admin: true}
	r.MAC = sign(r, "")
	_, err = s.RegisterWithSharedSecret(t.Context(), r, testClient)
	matrixtest.WantCode(t, err, matrix.Unknown)
}

func TestNonces(t *testing.T) {
	t.Parallel()
	n, now := newNonces("secret"), time.UnixMilli(1_000_000)

	nonce := n.issue(now)
	if nonce == n.issue(now) {
		t.Errorf("got %q twice", nonce)
	}
	if !n.use(nonce, now.Add(nonceLifetime-time.Millisecond)) {
		t.Error("a fresh nonce is refused")
	}
	if n.use(nonce, now) {
		t.Error("a nonce can be used twice")
	}
	if n.use(n.issue(now), now.Add(nonceLifetime)) {
		t.Error("a nonce does not expire")
	}
	if !newNonces("secret").use(n.issue(now), now) {
		t.Error("another process refuses a nonce")
	}
	if newNonces("other").use(n.issue(now), now) {
		t.Error("a nonce is good for another secret")
	}
	for i := range nonce {
		changed := []byte(n.issue(now))
		if changed[i]++; n.use(string(changed), now) {
			t.Errorf("a nonce with another character %d is good", i)
		}
	}
	if n.use(n.issue(now)+"00", now) || n.use(nonce[2:], now) {
		t.Error("a nonce of another length is good")
	}
	for range 2000 {
		n.use(n.issue(now), now)
	}
	if got := n.used.Stats(); got.Entries < 800 || got.Entries == 2000 {
		t.Errorf("%d used nonces are remembered", got.Entries)
	}
}
