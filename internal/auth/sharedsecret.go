package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" // the tools that register accounts this way compute HMAC-SHA1
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/cache"
	"homeserver/internal/matrix"
)

const (
	nonceLifetime = time.Minute
	// usedNonces is how many bytes the used nonces may take that are remembered, which
	// are about a thousand.
	usedNonces = 256 << 10
)

// SharedSecretRequest is the body of POST /_synapse/admin/v1/register. MAC is the
// HMAC-SHA1 in hexadecimal, with the shared secret as its key, of the nonce, the
// user name, the password, "admin" or "notadmin", and the user type if there is one,
// with a NUL byte between each two. Apart from that the user type has no meaning.
type SharedSecretRequest struct {
	Nonce    string `json:"nonce"`
	Username string `json:"username"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`
	UserType string `json:"user_type"`
	MAC      string `json:"mac"`
}

// RegistrationNonce returns a nonce for one registration by shared secret within a
// minute, in any process. M_UNKNOWN where there is no shared secret.
func (s *Service) RegistrationNonce() (string, error) {
	if s.o.SharedSecret == "" {
		return "", errNoSharedSecret()
	}
	return s.nonces.issue(s.o.Now()), nil
}

// RegisterWithSharedSecret makes an account for a caller who knows the shared secret,
// whether or not registration is enabled, and logs a device in. Tools that deploy
// servers make accounts in this way, also those of administrators. There is no rate
// limit: nothing costly is done before the MAC is known to be right.
//
// M_UNKNOWN where there is no shared secret or the nonce is not good, M_FORBIDDEN
// for a wrong MAC, M_MISSING_PARAM, M_INVALID_PARAM, M_INVALID_USERNAME,
// M_WEAK_PASSWORD, M_USER_IN_USE.
func (s *Service) RegisterWithSharedSecret(ctx context.Context, r SharedSecretRequest, client matrix.Client) (session.Credentials, error) {
	if s.o.SharedSecret == "" {
		return session.Credentials{}, errNoSharedSecret()
	}
	if r.Nonce == "" || r.Username == "" || r.Password == "" || r.MAC == "" {
		return session.Credentials{}, matrix.Errorf(matrix.MissingParam, "nonce, username, password and mac are needed")
	}
	// With a NUL inside one of its parts, one MAC would be right for several requests.
	if strings.ContainsRune(r.Username+r.Password+r.UserType, 0) {
		return session.Credentials{}, matrix.Errorf(matrix.InvalidParam, "NUL is not allowed")
	}
	if !s.nonces.use(r.Nonce, s.o.Now()) {
		return session.Credentials{}, matrix.Errorf(matrix.Unknown, "The nonce is unknown, used or older than a minute")
	}
	if !r.authentic(s.o.SharedSecret) {
		return session.Credentials{}, matrix.Errorf(matrix.Forbidden, "The MAC is wrong")
	}
	if err := s.checkNewPassword(r.Password); err != nil {
		return session.Credentials{}, err
	}
	userID, err := s.availableUserID(ctx, r.Username)
	if err != nil {
		return session.Credentials{}, err
	}
	wanted := registration{account: account.Account{UserID: userID, Admin: r.Admin}}
	return s.register(ctx, wanted, r.Password, client, uia.Approval{})
}

// authentic reports whether the MAC was made with the secret.
func (r SharedSecretRequest) authentic(secret string) bool {
	given, err := hex.DecodeString(r.MAC)
	if err != nil {
		return false
	}
	role := "notadmin"
	if r.Admin {
		role = "admin"
	}
	parts := []string{r.Nonce, r.Username, r.Password, role}
	if r.UserType != "" {
		parts = append(parts, r.UserType)
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.Join(parts, "\x00"))) // a hash never fails to write
	return hmac.Equal(mac.Sum(nil), given)
}

// errNoSharedSecret returns the answer that the tools for this know.
func errNoSharedSecret() *matrix.Error {
	return matrix.Errorf(matrix.Unknown, "Shared secret registration is not enabled")
}

// nonces makes nonces that each process with the shared secret can check, and remembers
// those that were used here. Elsewhere one may be used again, to no effect: its MAC is
// for the same account, which exists by then.
type nonces struct {
	key  []byte
	used *cache.LRU[string, struct{}]
}

// nonce is 16 random bytes, the time until which it is good, and a MAC of both.
const (
	nonceRandom = 16
	nonceBytes  = nonceRandom + 8 + sha256.Size
)

func newNonces(secret string) *nonces {
	return &nonces{key: []byte("nonce " + secret), used: cache.NewLRU(cache.Options[string, struct{}]{
		Share: usedNonces, Weigh: func(nonce string, _ struct{}) int { return cache.Text(nonce) },
	})}
}

func (n *nonces) issue(now time.Time) string {
	nonce := binary.BigEndian.AppendUint64(secret.Bytes(nonceRandom), uint64(now.Add(nonceLifetime).UnixMilli()))
	return hex.EncodeToString(n.seal(nonce))
}

// seal adds the MAC.
func (n *nonces) seal(nonce []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(nonce) // a hash never fails to write
	return mac.Sum(nonce)
}

// use marks a nonce as used, and reports whether it was good.
func (n *nonces) use(given string, now time.Time) bool {
	nonce, err := hex.DecodeString(given)
	if err != nil || len(nonce) != nonceBytes {
		return false
	}
	open := slices.Clone(nonce[:nonceRandom+8])
	until := int64(binary.BigEndian.Uint64(open[nonceRandom:]))
	if !hmac.Equal(n.seal(open), nonce) || now.UnixMilli() >= until {
		return false
	}
	_, isNew := n.used.PutNew(string(nonce), struct{}{})
	return isNew
}
