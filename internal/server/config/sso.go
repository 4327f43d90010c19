package config

import (
	"fmt"
	"net/url"
	"strings"

	"homeserver/internal/matrix"
)

// SSO says where else users have accounts by which they can sign in here.
type SSO struct {
	// Providers are the OpenID providers, in the order in which people see them; empty: there are none.
	Providers []SSOProvider `yaml:"providers" env:"-"`
	// TrustedClients are the hosts of apps to which people are sent on without being asked.
	TrustedClients []string `yaml:"trusted_clients"`
}

// SSOProvider is one OpenID provider.
type SSOProvider struct {
	// ID names it for clients and in the database; it must not change.
	ID string `yaml:"id"`
	// Name is what people read on the button.
	Name string `yaml:"name"`
	// Icon is the mxc: URI of a picture; empty: none.
	Icon string `yaml:"icon"`
	// Brand is a kind of button that clients know; empty: none.
	Brand string `yaml:"brand"`
	// Issuer is the URL below which the provider describes itself.
	Issuer string `yaml:"issuer"`
	// ClientID is what the provider calls this server.
	ClientID string `yaml:"client_id"`
	// ClientSecret is how the provider knows this server.
	ClientSecret Secret `yaml:"client_secret"`
	// Scopes are asked for beside openid; empty: profile.
	Scopes []string `yaml:"scopes"`
	// UserName is a template of the name that is proposed to new users; empty: {preferred_username}.
	UserName string `yaml:"user_name"`
	// DisplayName is a template of the name that is shown; empty: {name}.
	DisplayName string `yaml:"display_name"`
	// FixedName makes the account by the proposed name without asking.
	FixedName bool `yaml:"fixed_name"`
	// LinkOnly makes no accounts for people who have none here.
	LinkOnly bool `yaml:"link_only"`
}

// maxSSOProviders is more than anybody looks through.
const maxSSOProviders = 20

func (v *validator) sso(c *Config) {
	v.check(len(c.SSO.Providers) == 0 || c.PublicBaseURL != "", "sso.providers", "needs public_base_url, to which providers send browsers back")
	v.check(len(c.SSO.Providers) <= maxSSOProviders, "sso.providers", "must be %d at most", maxSSOProviders)
	seen := map[string]bool{}
	for i, p := range c.SSO.Providers {
		key := fmt.Sprintf("sso.providers[%d]", i)
		v.check(isProviderID(p.ID), key+".id", "must be letters, digits and . _ ~ -, such as company")
		v.check(!seen[p.ID], key+".id", "is there twice")
		seen[p.ID] = true
		v.check(p.Name != "", key+".name", "must be what people read on the button")
		v.check(p.Icon == "" || strings.HasPrefix(p.Icon, "mxc://"), key+".icon", "must be an mxc: URI, such as mxc://example.org/abc")
		issuer, err := url.Parse(p.Issuer)
		v.check(err == nil && isBaseURL(p.Issuer) && issuer.User == nil, key+".issuer", "must be an http or https URL, such as https://id.example.org/realms/all")
		v.check(p.ClientID != "", key+".client_id", "must be what the provider calls this server")
	}
	for i, host := range c.SSO.TrustedClients {
		v.check(matrix.IsServerName(host), fmt.Sprintf("sso.trusted_clients[%d]", i), "must be a host name, such as app.example.org")
	}
}

// isProviderID reports whether a text can be the ID of a provider: appendices, "Opaque Identifiers".
func isProviderID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"
	return id != "" && len(id) <= matrix.MaxIDBytes && strings.Trim(id, allowed) == ""
}

// LDAP says which directory checks the passwords of accounts that have none here.
type LDAP struct {
	// URL of the directory: ldaps://host, or ldap://host; empty: there is none.
	URL string `yaml:"url"`
	// StartTLS protects a connection to an ldap URL.
	StartTLS bool `yaml:"start_tls"`
	// CAFile is a PEM file with the certificates of authorities that are trusted; empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// BindDN is the entry as which people are looked for; empty: nobody.
	BindDN string `yaml:"bind_dn"`
	// BindPassword is that of BindDN.
	BindPassword Secret `yaml:"bind_password"`
	// BaseDN is the entry below which people are.
	BaseDN string `yaml:"base_dn"`
	// Filter finds a person; {name} stands for the name that was typed.
	Filter string `yaml:"filter"`
	// ID is the attribute that never changes.
	ID string `yaml:"id"`
	// UserName is a template of the user name of a new account.
	UserName string `yaml:"user_name"`
	// DisplayName is a template of the name that is shown.
	DisplayName string `yaml:"display_name"`
	// LinkOnly makes no accounts for people who have none here.
	LinkOnly bool `yaml:"link_only"`
}

func (v *validator) ldap(l LDAP) {
	if l.URL == "" {
		return
	}
	address, err := url.Parse(l.URL)
	v.check(err == nil && (address.Scheme == "ldap" || address.Scheme == "ldaps") && address.Host != "" && address.User == nil,
		"ldap.url", "must be an ldaps or ldap URL, such as ldaps://ldap.example.org")
	v.check(!l.StartTLS || strings.HasPrefix(l.URL, "ldap://"), "ldap.start_tls", "is for ldap URLs: ldaps is protected already")
	v.check((l.BindDN == "") == (l.BindPassword == ""), "ldap.bind_password", "must be set together with ldap.bind_dn")
	v.check(l.BaseDN != "", "ldap.base_dn", "must be the entry below which people are, such as ou=people,dc=example,dc=org")
	v.check(strings.HasPrefix(l.Filter, "(") && strings.Contains(l.Filter, "{name}"), "ldap.filter", "must be a filter with {name}, such as (uid={name})")
	v.check(l.ID != "", "ldap.id", "must be an attribute that never changes, such as entryUUID")
	v.check(l.UserName != "", "ldap.user_name", "must be a template such as {uid}")
}
