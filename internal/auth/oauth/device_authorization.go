package oauth

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// GrantDeviceCode is the grant type of devices without a browser. RFC 8628.
const GrantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"

// The errors of a device that polls. RFC 8628, section 3.5.
const (
	errAuthorizationPending = "authorization_pending"
	errSlowDown             = "slow_down"
	errExpiredToken         = "expired_token"
)

const (
	// deviceCodeLifetime is how long a person has to type a code.
	deviceCodeLifetime = 15 * time.Minute
	// pollInterval is how long a device waits between two questions; it is told to slow down if it asks
	// sooner than that but for a second.
	pollInterval = 5 * time.Second
	// maxDeviceCodes bounds the codes that are stored; beyond it the oldest is forgotten.
	maxDeviceCodes = 10_000
	// userCodeLetters are consonants, so that no words come about, and no two look alike.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// DeviceAuthorization is the answer of the device authorization endpoint. RFC 8628, section 3.2.
type DeviceAuthorization struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"` // seconds
	Interval                int64  `json:"interval"`   // seconds
}

// AuthorizeDevice begins a sign-in that a person allows in a browser elsewhere. Client-server API, "Device
// authorisation flow".
func (s *Service) AuthorizeDevice(ctx context.Context, form url.Values) (DeviceAuthorization, error) {
	client, err := s.client(ctx, form)
	if err != nil {
		return DeviceAuthorization{}, err
	}
	if !client.mayGrant(GrantDeviceCode) {
		return DeviceAuthorization{}, refuse(errUnauthorizedClient, "this client has not registered the grant type %s", GrantDeviceCode)
	}
	asked, refusal := parseScope(form.Get("scope"))
	if refusal != nil {
		return DeviceAuthorization{}, refusal
	}
	code, userCode := secret.New("hsd_"), newUserCode()
	err = insertDeviceCode(ctx, s.o.Pool, secret.HashOf(code), DeviceRequest{
		userCode: userCode, clientID: client.ClientID, DeviceID: asked.DeviceID, scope: asked.Granted, expiresAt: s.nowMS() + deviceCodeLifetime.Milliseconds(),
	})
	if err != nil {
		return DeviceAuthorization{}, err
	}
	shown := userCode[:userCodeLength/2] + "-" + userCode[userCodeLength/2:]
	page := s.o.BaseURL + Path + "/link"
	return DeviceAuthorization{
		DeviceCode: code, UserCode: shown, VerificationURI: page, VerificationURIComplete: page + "?user_code=" + shown,
		ExpiresIn: int64(deviceCodeLifetime.Seconds()), Interval: int64(pollInterval.Seconds()),
	}, nil
}

// newUserCode makes a code that a person types: one of 25,600,000,000.
func newUserCode() string {
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var random [32]byte
		_, _ = rand.Read(random[:]) // never returns an error
		for _, b := range random {
			if n := len(userCodeLetters); len(code) < userCodeLength && int(b) < 256/n*n {
				code = append(code, userCodeLetters[int(b)%n])
			}
		}
	}
	return string(code)
}

// readUserCode returns a code as it is stored, however it was typed.
func readUserCode(typed string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r += 'A' - 'a'
		}
		if r < 'A' || r > 'Z' {
			return -1
		}
		return r
	}, typed[:min(len(typed), 64)])
}

// DeviceRequest is a device that waits for a person's decision.
type DeviceRequest struct {
	Client   RegisteredClient
	DeviceID string
	// UserCode is as the person has typed it.
	UserCode string

	userCode, clientID, scope string
	expiresAt                 int64
	polledAt                  int64
	userID                    string
	allowed                   bool
}

// DeviceRequest finds the device that has shown a code. M_NOT_FOUND where none waits with it.
func (s *Service) DeviceRequest(ctx context.Context, typed string) (DeviceRequest, error) {
	d, err := findUserCode(ctx, s.o.Pool, readUserCode(typed), s.nowMS())
	if err != nil {
		return DeviceRequest{}, err
	}
	d.UserCode = typed
	d.Client, err = findClient(ctx, s.o.Pool, d.clientID)
	return d, err
}

// DecideDevice notes the decision of the user of a browser. M_NOT_FOUND, ErrSignedOut.
func (s *Service) DecideDevice(ctx context.Context, browser Browser, typed string, allow bool) error {
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := s.lockUserOf(ctx, tx, browser); err != nil {
			return err
		}
		return decideUserCode(ctx, tx, readUserCode(typed), browser.UserID, allow, s.nowMS())
	})
	if err != nil {
		return fmt.Errorf("decide whether a device may use %s: %w", browser.UserID, err)
	}
	return nil
}

// errNoUserCode returns the answer to a code that no device waits with.
func errNoUserCode() *matrix.Error {
	return matrix.Errorf(matrix.NotFound, "No device waits with this code: it may be mistyped, used or expired")
}

// exchangeDeviceCode logs the device in that a person has allowed to: "Device authorisation
// grant".
func (s *Service) exchangeDeviceCode(ctx context.Context, form url.Values, by matrix.Client) (Tokens, error) {
	client, err := s.client(ctx, form)
	if err != nil {
		return Tokens{}, err
	}
	if form.Get("device_code") == "" {
		return Tokens{}, refuse(errInvalidRequest, "device_code is missing")
	}
	hash, now := secret.HashOf(form.Get("device_code")), s.nowMS()
	d, err := pollDeviceCode(ctx, s.o.Pool, hash, now)
	switch {
	case err != nil:
		return Tokens{}, err
	case d.clientID != client.ClientID:
		return Tokens{}, refuse(errInvalidGrant, "the device code is unknown or used")
	case d.expiresAt <= now:
		return Tokens{}, refuse(errExpiredToken, "nobody has typed the code in time")
	case d.userID != "" && !d.allowed:
		return Tokens{}, Denied()
	case d.polledAt > now-(pollInterval-time.Second).Milliseconds():
		return Tokens{}, refuse(errSlowDown, "ask every %d seconds at most", int(pollInterval.Seconds()))
	case d.userID == "":
		return Tokens{}, refuse(errAuthorizationPending, "nobody has typed the code yet")
	}
	return s.logIn(ctx, grant{client, d.userID, d.DeviceID, d.scope}, by, func(tx pgx.Tx) error {
		return useDeviceCode(ctx, tx, hash)
	})
}
