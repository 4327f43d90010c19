package auth

import (
	"strings"
	"time"

	"homeserver/internal/ratelimit"
)

// RateLimits bounds what clients may try. The zero value of a limit means its
// default. Client-server API, "Rate limiting".
type RateLimits struct {
	// Disabled switches all limits off.
	Disabled bool
	// Login bounds the passwords and login tokens tried by an address, right or wrong.
	Login ratelimit.Limit
	// FailedLogin bounds the wrong passwords for an account, from anywhere.
	FailedLogin ratelimit.Limit
	// Registration bounds the requests to register by an address. One
	// registration takes a client one or two of them; waiting until an address has
	// been confirmed costs nothing.
	Registration ratelimit.Limit
	// Availability bounds the names that an address may ask after.
	Availability ratelimit.Limit
	// LoginToken bounds the login tokens that are made for a user.
	LoginToken ratelimit.Limit
}

// DefaultRateLimits are the limits that hold where none are given.
func DefaultRateLimits() RateLimits {
	return RateLimits{
		Login:        ratelimit.Limit{PerSecond: 1, Burst: 30},
		FailedLogin:  ratelimit.Limit{PerSecond: 0.1, Burst: 10},
		Registration: ratelimit.Limit{PerSecond: 0.2, Burst: 20},
		Availability: ratelimit.Limit{PerSecond: 5, Burst: 50},
		LoginToken:   ratelimit.Limit{PerSecond: 1.0 / 60, Burst: 5},
	}
}

// limits holds a limiter for each of RateLimits; all nil where they are disabled.
type limits struct {
	login, failedLogin, registration, availability, loginToken *ratelimit.Limiter
}

func newLimits(given RateLimits, now func() time.Time) limits {
	if given.Disabled {
		return limits{}
	}
	normal := DefaultRateLimits()
	return limits{
		login:        ratelimit.New(given.Login.Or(normal.Login), now),
		failedLogin:  ratelimit.New(given.FailedLogin.Or(normal.FailedLogin), now),
		registration: ratelimit.New(given.Registration.Or(normal.Registration), now),
		availability: ratelimit.New(given.Availability.Or(normal.Availability), now),
		loginToken:   ratelimit.New(given.LoginToken.Or(normal.LoginToken), now),
	}
}

// accountKey is what a user name is counted as, in whichever case it was typed.
func accountKey(userID string) string { return strings.ToLower(userID) }
