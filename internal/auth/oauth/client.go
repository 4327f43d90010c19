package oauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"homeserver/internal/matrix"
)

const (
	// maxClients bounds the clients that are stored.
	maxClients = 10_000
	// clientMemory is how long a client without a device is remembered.
	clientMemory = 24 * time.Hour
	// maxRedirectURIs and maxURI bound what a client registers, and maxName its name, in bytes.
	maxRedirectURIs = 10
	maxURI          = 1024
	maxName         = 255
)

// The types of applications.
const (
	web    = "web"
	native = "native"
)

// Client is the metadata of a client. Client-server API, "Client metadata".
type Client struct {
	ClientName              string   `json:"client_name,omitzero"`
	ClientURI               string   `json:"client_uri"`
	LogoURI                 string   `json:"logo_uri,omitzero"`
	TOSURI                  string   `json:"tos_uri,omitzero"`
	PolicyURI               string   `json:"policy_uri,omitzero"`
	RedirectURIs            []string `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	ResponseTypes           []string `json:"response_types"`
	GrantTypes              []string `json:"grant_types"`
	ApplicationType         string   `json:"application_type"`
}

// RegisteredClient is a client with its ID.
type RegisteredClient struct {
	ClientID string `json:"client_id"`
	Client
}

// Name returns the name of the client for people: the one that it has chosen, or its host.
func (c Client) Name() string { return cmp.Or(c.ClientName, c.Host()) }

// Host returns the host of the client's web page.
func (c Client) Host() string {
	u, err := url.Parse(c.ClientURI)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// RegisterClient registers a client, or returns the one that has the same metadata.
// invalid_redirect_uri, invalid_client_metadata. Client-server API, "Dynamic client
// registration flow"; RFC 7591.
func (s *Service) RegisterClient(ctx context.Context, c Client) (RegisteredClient, error) {
	if err := s.checkClient(&c); err != nil {
		return RegisteredClient{}, err
	}
	metadata, err := json.Marshal(c)
	if err != nil {
		return RegisteredClient{}, fmt.Errorf("encode the metadata of a client: %w", err)
	}
	hash := sha256.Sum256(metadata)
	id := "hsa_" + base64.RawURLEncoding.EncodeToString(hash[:18])
	if err := s.storeClient(ctx, id, metadata); err != nil {
		return RegisteredClient{}, err
	}
	return RegisteredClient{id, c}, nil
}

// checkClient checks the metadata of a client, and fills in what it leaves out.
func (s *Service) checkClient(c *Client) *matrix.Error {
	if c.TokenEndpointAuthMethod = cmp.Or(c.TokenEndpointAuthMethod, "none"); c.TokenEndpointAuthMethod != "none" {
		return refuse(errInvalidClientMetadata, "token_endpoint_auth_method must be none: clients have no secret here")
	}
	if c.ApplicationType = cmp.Or(c.ApplicationType, web); c.ApplicationType != web && c.ApplicationType != native {
		return refuse(errInvalidClientMetadata, "application_type must be web or native")
	}
	if len(c.ClientName) > maxName || !utf8.ValidString(c.ClientName) {
		return refuse(errInvalidClientMetadata, "client_name must be %d bytes at most", maxName)
	}
	base, err := s.checkPage("client_uri", c.ClientURI, "")
	if err != nil {
		return err
	}
	for name, uri := range map[string]string{"logo_uri": c.LogoURI, "tos_uri": c.TOSURI, "policy_uri": c.PolicyURI} {
		if uri == "" {
			continue
		}
		if _, err := s.checkPage(name, uri, base); err != nil {
			return err
		}
	}
	if err := c.checkGrants(); err != nil {
		return err
	}
	return s.checkRedirectURIs(c, base)
}

// checkGrants leaves the grant types and response types that are known here.
func (c *Client) checkGrants() *matrix.Error {
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{GrantAuthorizationCode}
	}
	asked := c.GrantTypes
	c.GrantTypes = nil
	for _, known := range grantTypes {
		if slices.Contains(asked, known) || known == GrantRefreshToken { // each grant has a refresh token
			c.GrantTypes = append(c.GrantTypes, known)
		}
	}
	if len(c.GrantTypes) == 1 {
		return refuse(errInvalidClientMetadata, "grant_types must have one of %s", strings.Join(grantTypes, ", "))
	}
	if c.mayGrant(GrantAuthorizationCode) && len(c.ResponseTypes) > 0 && !slices.Contains(c.ResponseTypes, "code") {
		return refuse(errInvalidClientMetadata, "response_types must have code")
	}
	c.ResponseTypes = []string{"code"}
	return nil
}

// mayGrant reports whether the client has registered a grant type.
func (c *Client) mayGrant(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// checkPage checks the address of a web page of a client, which must be on the host that is
// the base of all its addresses, or below it; "" for the address that says so. It returns the
// host.
func (s *Service) checkPage(name, uri, base string) (string, *matrix.Error) {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > maxURI || !s.isWeb(u) {
		return "", refuse(errInvalidClientMetadata, "%s must be an https URL without a password, of %d bytes at most", name, maxURI)
	}
	host := strings.ToLower(u.Hostname())
	if base != "" && !isBelow(host, base) {
		return "", refuse(errInvalidClientMetadata, "%s must be on the host of client_uri", name)
	}
	return host, nil
}

// isWeb reports whether web pages of clients may have the address. Where this server is not
// reached by https itself, as in development, pages of this machine need not be either.
func (s *Service) isWeb(u *url.URL) bool {
	local := u.Scheme == "http" && isLoopback(u.Hostname()) && !s.Secure()
	return (u.Scheme == "https" || local) && u.Host != "" && u.Hostname() != "" && u.User == nil && u.Opaque == ""
}

// isBelow reports whether a host is the base, or a domain below it.
func isBelow(host, base string) bool { return host == base || strings.HasSuffix(host, "."+base) }

func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// checkRedirectURIs checks where codes may be sent: "Redirect URI validation".
func (s *Service) checkRedirectURIs(c *Client, base string) *matrix.Error {
	if !c.mayGrant(GrantAuthorizationCode) {
		c.RedirectURIs = nil
		return nil
	}
	if n := len(c.RedirectURIs); n == 0 || n > maxRedirectURIs {
		return refuse(errInvalidRedirectURI, "redirect_uris must have 1 to %d addresses", maxRedirectURIs)
	}
	for _, uri := range c.RedirectURIs {
		if !s.mayRedirect(c, uri, base) {
			return refuse(errInvalidRedirectURI, "a redirect URI of this kind of application cannot be %q", uri[:min(len(uri), 100)])
		}
	}
	return nil
}

func (s *Service) mayRedirect(c *Client, uri, base string) bool {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > maxURI || strings.Contains(uri, "#") || u.User != nil || !isPrintable(uri) {
		return false
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme == "https", c.ApplicationType == web:
		return s.isWeb(u) && isBelow(host, base)
	case u.Scheme == "http":
		return isLoopback(host) && u.Port() == "" && u.Opaque == "" && !strings.HasSuffix(u.Host, ":")
	default: // a private-use scheme, which has no authority
		name := reverse(base)
		return strings.Contains(u.Scheme, ".") && isBelowReversed(u.Scheme, name) && !strings.HasPrefix(uri[len(u.Scheme):], "://")
	}
}

// isBelowReversed is isBelow in reverse-DNS notation.
func isBelowReversed(name, base string) bool {
	return name == base || strings.HasPrefix(name, base+".")
}

// isPrintable reports whether an address can be sent in a header as it is.
func isPrintable(uri string) bool {
	for i := range len(uri) {
		if uri[i] <= ' ' || uri[i] >= 0x7f {
			return false
		}
	}
	return true
}

// reverse returns a domain in reverse-DNS notation.
func reverse(domain string) string {
	parts := strings.Split(domain, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

// redirectsTo reports whether a client has registered a redirect URI: exactly this, but for
// the port of the loopback interface of native applications.
func (c *Client) redirectsTo(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	u, err := url.Parse(uri)
	if c.ApplicationType != native || err != nil || u.Port() == "" || !isLoopback(u.Hostname()) {
		return false
	}
	rest, ok := strings.CutPrefix(uri, "http://"+u.Host)
	return ok && slices.Contains(c.RedirectURIs, "http://"+strings.TrimSuffix(u.Host, ":"+u.Port())+rest)
}
