package config

import (
	"strings"
	"time"
)

// Login says how people may log in.
type Login struct {
	// Password allows apps to log in by a password that they ask for themselves; false: only on the pages of the OAuth 2.0
	// API and of providers.
	Password bool `yaml:"password"`
	// AccessTokenLifetime is for how many seconds the access token of an app is good that has logged in so, and has asked
	// for a token to renew it by. Those of others do not expire.
	AccessTokenLifetime int `yaml:"access_token_lifetime"`
}

// OAuth says how apps sign in by the OAuth 2.0 API.
type OAuth struct {
	// Enabled switches the API; nil leaves it to [Config.OAuthURL].
	Enabled *bool `yaml:"enabled"`
	// AccessTokenLifetime is for how many seconds an access token is good, until the app renews it.
	AccessTokenLifetime int `yaml:"access_token_lifetime"`
}

// Lifetime returns for how long an access token is good that can be renewed.
func (l Login) Lifetime() time.Duration { return time.Duration(l.AccessTokenLifetime) * time.Second }

// Lifetime returns for how long an access token is good.
func (o OAuth) Lifetime() time.Duration { return time.Duration(o.AccessTokenLifetime) * time.Second }

// OAuthURL returns where apps and browsers find the OAuth 2.0 API, on a server that serves clients at the addresses;
// empty: it is off. Unless it is configured, it is on where public_base_url is https, which apps insist on.
func (c *Config) OAuthURL(addresses []Listener) string {
	on := strings.HasPrefix(c.PublicBaseURL, "https://")
	if c.OAuth.Enabled != nil {
		on = *c.OAuth.Enabled
	}
	switch {
	case !on:
		return ""
	case c.PublicBaseURL != "":
		return strings.TrimSuffix(c.PublicBaseURL, "/")
	case len(addresses) > 0:
		return addresses[0].URL()
	default:
		return ""
	}
}

// The bounds of the lifetime of an access token, in seconds.
const (
	minTokenLifetime = 60
	maxTokenLifetime = 86400
)

func (v *validator) oauth(l Login, o OAuth) {
	v.check(l.AccessTokenLifetime >= minTokenLifetime && l.AccessTokenLifetime <= maxTokenLifetime, "login.access_token_lifetime",
		"must be from %d to %d seconds", minTokenLifetime, maxTokenLifetime)
	v.check(o.AccessTokenLifetime >= minTokenLifetime && o.AccessTokenLifetime <= maxTokenLifetime, "oauth.access_token_lifetime",
		"must be from %d to %d seconds", minTokenLifetime, maxTokenLifetime)
}
