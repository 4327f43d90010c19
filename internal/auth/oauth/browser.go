package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth"
	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

const (
	// browserLifetime is how long a browser stays signed in.
	browserLifetime = time.Hour
	// maxBrowsersOfUser bounds the browsers of a user.
	maxBrowsersOfUser = 50
	// freshness is how long a person need not sign in again for what is dangerous.
	freshness = 10 * time.Minute
)

// Browser is a browser in which a person uses the pages of this server. The zero value of UserID
// means that nobody is signed in.
type Browser struct {
	UserID     string
	SignedInAt time.Time
	// Suspended says that an administrator has suspended the account.
	Suspended bool

	secret string
	hash   secret.Hash
}

// NewBrowser returns a browser in which nobody is signed in, with the secret that is its cookie.
func NewBrowser() (Browser, string) {
	made := secret.New("hsb_")
	return Browser{secret: made, hash: secret.HashOf(made)}, made
}

// Browser returns the browser of a cookie.
func (s *Service) Browser(ctx context.Context, cookie string) (Browser, error) {
	hash := secret.HashOf(cookie)
	found, err := findBrowser(ctx, s.o.Pool, hash, s.nowMS()-browserLifetime.Milliseconds())
	if errors.Is(err, ErrSignedOut) {
		err = nil
	}
	found.secret, found.hash = cookie, hash
	return found, err
}

// FormToken returns the value that each form of a page of the browser has, so that no other
// site can send one.
func (b Browser) FormToken() string {
	mac := hmac.New(sha256.New, []byte(b.secret))
	mac.Write([]byte("form"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// HasSent reports whether a form with the token is one of a page of the browser.
func (b Browser) HasSent(token string) bool {
	return b.secret != "" && hmac.Equal([]byte(token), []byte(b.FormToken()))
}

// SignIn checks a password as POST /login does, and returns the cookie of a browser that is
// signed in then. Errors of [auth.Service.WithPassword].
func (s *Service) SignIn(ctx context.Context, user, password string) (cookie string, err error) {
	browser, cookie := NewBrowser()
	_, err = s.o.Accounts.WithPassword(ctx, user, password, func(tx pgx.Tx, userID string) error {
		return insertBrowser(ctx, tx, browser.hash, userID, s.nowMS())
	})
	return cookie, err
}

// Register makes an account by the rules of POST /register, and returns the cookie of a browser that is
// signed in to it then. Errors of [auth.Service.RegisterOnPage].
func (s *Service) Register(ctx context.Context, r auth.PageRegistration, by matrix.Client) (cookie string, err error) {
	userID, err := s.o.Accounts.RegisterOnPage(ctx, r, by)
	if err != nil {
		return "", err
	}
	return s.SignInAs(ctx, userID)
}

// SignInAs signs a new browser in for a person who has shown in another way to be the user, and returns its cookie.
// M_USER_DEACTIVATED.
func (s *Service) SignInAs(ctx context.Context, userID string) (cookie string, err error) {
	browser, cookie := NewBrowser()
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := account.LockUsable(ctx, tx, userID); err != nil {
			return err
		}
		return insertBrowser(ctx, tx, browser.hash, userID, s.nowMS())
	})
	if err != nil {
		return "", fmt.Errorf("sign %s in: %w", userID, err)
	}
	return cookie, nil
}

// ReplacePassword sets a new password for the user of a browser who knows the old one, and returns the
// new cookie of the browser. Errors of [auth.Service.ReplacePassword].
func (s *Service) ReplacePassword(ctx context.Context, b Browser, old, password string, logout bool) (cookie string, err error) {
	if err := s.o.Accounts.ReplacePassword(ctx, b.UserID, old, password, logout); err != nil {
		return "", err
	}
	return s.SignInAs(ctx, b.UserID)
}

// IsFresh reports whether the person at a browser has signed in lately, as what is dangerous
// needs.
func (s *Service) IsFresh(b Browser) bool {
	return b.UserID != "" && s.o.Now().Sub(b.SignedInAt) < freshness
}

// ApproveReset notes that the user of a browser approves that an app replaces the keys by which others know the
// user, once, within ten minutes.
func (s *Service) ApproveReset(ctx context.Context, b Browser) error {
	return s.o.Stages.ApproveOnPage(ctx, b.UserID, uia.UploadSigningKeys)
}

// SignOut ends the sign-in of a browser.
func (s *Service) SignOut(ctx context.Context, b Browser) error {
	return deleteBrowser(ctx, s.o.Pool, b.hash)
}
