package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nyaruka/phonenumbers"

	"homeserver/internal/matrix"
)

// maxPasswordMinimum is the longest password that a server can demand and its users still send.
const maxPasswordMinimum = 128

// minRequestBody leaves room for the largest event (65,536 bytes, "Size limits" of the
// client-server API) and for the JSON around it.
const minRequestBody = Size(128 << 10)

// A smaller buffer of the journal could not take a group of large events, and a larger one would not
// fit into an int on every machine.
const (
	minMemory = Size(1 << 20)
	maxMemory = Size(1 << 30)
	// maxMemoryLimit is more than a server has use for.
	maxMemoryLimit = Size(1 << 40)
)

// maxShutdownDelay is longer than any load balancer needs to notice, in seconds.
const maxShutdownDelay = 300

// maxUpload is more than anybody uploads in one piece.
const maxUpload = Size(1 << 40)

// maxFreeDisk is more than anybody leaves unused.
const maxFreeDisk = Size(1 << 40)

// problem is one value that cannot be used.
type problem struct{ key, text string }

// validator gathers problems.
type validator struct{ problems []problem }

func (v *validator) check(ok bool, key, format string, args ...any) {
	if !ok {
		v.problems = append(v.problems, problem{key, fmt.Sprintf(format, args...)})
	}
}

// validate returns everything that is wrong with the values and how they go together.
func (c *Config) validate() []problem {
	v := &validator{}
	v.check(matrix.IsServerName(c.ServerName), "server_name",
		"must be a host name or an IP address, with a port if need be, such as example.org")
	v.check(c.DataDir != "", "data_dir", "must be a folder")
	v.listeners(c.Listen)
	v.check(c.PublicBaseURL == "" || isBaseURL(c.PublicBaseURL), "public_base_url",
		"must be an http or https URL without a query, such as https://matrix.example.org")
	v.frontPage(c)
	v.tls(c)
	v.check(c.Database.URL == "" || isDatabaseURL(string(c.Database.URL)), "database.url",
		"must be a URL such as postgres://user:password@host:5432/database?sslmode=require")
	v.check(c.Database.MaxConnections >= 2 && c.Database.MaxConnections <= 1000,
		"database.max_connections", "must be from 2 to 1000")
	v.check(c.Password.MinLength >= 0 && c.Password.MinLength <= maxPasswordMinimum,
		"password.min_length", "must be from 0 to %d", maxPasswordMinimum)
	v.registration(c)
	v.oauth(c.Login, c.OAuth)
	v.threepids(c)
	v.sso(c)
	v.ldap(c.LDAP)
	v.turn(c.Turn)
	v.calls(c.Calls)
	v.support(c.Support)
	v.policyLists(c.PolicyLists)
	v.check(c.PolicyServer.Ed25519Key == "" || isEd25519Key(c.PolicyServer.Ed25519Key), "policy_server.ed25519_key",
		"must be a public key in unpadded Base64, 43 characters")
	for name, rate := range c.RateLimits.All() {
		v.rate("rate_limits."+name, rate)
	}
	v.check(c.ShutdownDelay >= 0 && c.ShutdownDelay <= maxShutdownDelay, "shutdown_delay", "must be from 0 to %d seconds", maxShutdownDelay)
	v.check(c.Metrics.Listen == "" || isListenAddress(c.Metrics.Listen), "metrics.listen",
		"must be host:port, such as localhost:9000, or empty")
	v.check(c.Memory.Limit == 0 || c.Memory.Limit >= minMemoryLimit && c.Memory.Limit <= maxMemoryLimit, "memory.limit",
		"must be from %s to %s, or 0", minMemoryLimit, maxMemoryLimit)
	v.check(c.Limits.RequestBody >= minRequestBody, "limits.request_body", "must be at least %s", minRequestBody)
	v.memory("limits.request_memory", c.Limits.RequestMemory)
	v.atOnce("limits.requests", c.Limits.Requests)
	v.atOnce("limits.polls", c.Limits.Polls)
	v.atOnce("limits.polls_per_user", c.Limits.PollsPerUser)
	v.atOnce("limits.transfers", c.Limits.Transfers)
	v.atOnce("limits.connections", c.Limits.Connections)
	v.atOnce("limits.connections_per_address", c.Limits.ConnectionsPerAddress)
	v.memory("limits.live_window", c.Limits.LiveWindow)
	v.memory("limits.write_queue", c.Limits.WriteQueue)
	v.check(c.Limits.FreeDisk >= 0 && c.Limits.FreeDisk <= maxFreeDisk, "limits.free_disk", "must be %s at most, or 0 for none", maxFreeDisk)
	v.check(c.Media.MaxUpload > 0 && c.Media.MaxUpload <= maxUpload, "media.max_upload", "must be from 1 to %s", maxUpload)
	v.mediaStorage(c.Media)
	v.check(c.Media.UserQuota == 0 || c.Media.UserQuota >= c.Media.MaxUpload, "media.user_quota",
		"must be 0 for none, or media.max_upload at least")
	v.memory("media.thumbnail_memory", c.Media.ThumbnailMemory)
	return v.problems
}

// isEd25519Key reports whether a text is a public key in unpadded Base64, of either alphabet.
func isEd25519Key(text string) bool {
	key, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(text))
	return err == nil && len(key) == ed25519.PublicKeySize
}

// maxPolicyLists is more than anybody has to trust.
const maxPolicyLists = 100

func (v *validator) policyLists(p PolicyLists) {
	v.check(len(p.Rooms) <= maxPolicyLists, "policy_lists.rooms", "must be %d rooms at most", maxPolicyLists)
	for i, room := range p.Rooms {
		_, _, err := matrix.ParseRoomAlias(room)
		v.check(err == nil || matrix.IsRoomID(room), fmt.Sprintf("policy_lists.rooms[%d]", i),
			"must be the ID or an alias of a room, such as #bans:example.org")
	}
}

// maxAtOnce is more than one machine has connections for.
const maxAtOnce = 10_000_000

func (v *validator) atOnce(key string, n int) {
	v.check(n >= 1 && n <= maxAtOnce, key, "must be from 1 to %d", maxAtOnce)
}

func (v *validator) memory(key string, s Size) {
	v.check(s == 0 || s >= minMemory && s <= maxMemory, key, "must be from %s to %s, or 0 for a share of memory.limit", minMemory, maxMemory)
}

func (v *validator) listeners(listeners []Listener) {
	v.check(len(listeners) > 0, "listen", "must name at least one address, such as localhost:8008")
	seen := map[string]bool{}
	for i, l := range listeners {
		key := fmt.Sprintf("listen[%d]", i)
		v.check(isListenAddress(l.Address), key, "must be host:port, such as localhost:8008")
		// Any number of listeners may ask for a free port.
		v.check(!seen[l.Address] || strings.HasSuffix(l.Address, ":0"), key, "is listed twice")
		seen[l.Address] = true
	}
}

func (v *validator) tls(c *Config) {
	t := c.TLS
	v.check(t.Key != "" || t.Certificate == "", "tls.key", "must be set together with tls.certificate")
	v.check(t.Certificate != "" || t.Key == "", "tls.certificate", "must be set together with tls.key")
	v.check(isBaseURL(t.ACME.Directory), "tls.acme.directory", "must be the URL of an ACME directory")
	if !t.ACME.Enabled {
		return
	}
	v.check(t.Certificate == "", "tls.acme.enabled", "cannot be used together with tls.certificate")
	for _, host := range c.ACMEHosts() {
		_, err := netip.ParseAddr(host)
		public := err != nil && matrix.IsServerName(host) && strings.Contains(host, ".") && !strings.Contains(host, ":")
		v.check(public, "tls.acme.hosts",
			"must be names that the whole internet can look up; the default is the server name, %s", c.ServerHost())
	}
}

// threepids checks the settings for messages to addresses. Messages and answers lead
// people and clients back to the server, which therefore must know its own address.
func (v *validator) threepids(c *Config) {
	for i, host := range c.Threepids.NextLinkHosts {
		v.check(matrix.IsServerName(host), fmt.Sprintf("threepids.next_link_hosts[%d]", i), "must be a host name, such as app.example.org")
	}
	for i, server := range c.Threepids.IdentityServers {
		v.check(matrix.IsServerName(server) || isBaseURL(server), fmt.Sprintf("threepids.identity_servers[%d]", i),
			"must be a host name or an http or https URL, such as id.example.org")
	}
	v.check(c.Email.Port >= 0 && c.Email.Port <= 65535, "email.port", "must be from 0 to 65535")
	if c.Email.Host != "" {
		_, err := mail.ParseAddress(c.Email.From)
		v.check(err == nil, "email.from", "must be an e-mail address, such as Example <matrix@example.org>")
		v.check(c.PublicBaseURL != "", "email.host", "needs public_base_url, for the links in mails")
	}
	v.check(strings.HasPrefix(c.Email.RoomURL, "https://") || strings.HasPrefix(c.Email.RoomURL, "http://"),
		"email.room_url", "must be an http or https URL, such as https://matrix.to/#/")
	v.check(c.Email.User == "" || c.Email.Password != "", "email.password", "must be set together with email.user")
	if c.SMS.URL != "" {
		v.check(isGatewayURL(string(c.SMS.URL)), "sms.url", "must be an http or https URL")
		v.check(c.PublicBaseURL != "", "sms.url", "needs public_base_url, for clients to send codes to")
	}
	body := strings.NewReplacer("{to}", "", "{text}", "").Replace(c.SMS.Body)
	v.check(json.Valid([]byte(body)) && strings.Contains(c.SMS.Body, "{to}") && strings.Contains(c.SMS.Body, "{text}"),
		"sms.body", `must be JSON with {to} and {text} inside of strings`)
	for i, country := range c.SMS.AllowedCountries {
		v.check(phonenumbers.GetSupportedRegions()[strings.ToUpper(country)], fmt.Sprintf("sms.allowed_countries[%d]", i),
			"must be a code of ISO 3166-1 with two letters, such as DE or GB")
	}
	v.check(c.SMS.MaxPerHour >= 0, "sms.max_per_hour", "must be 0 for no bound, or more")
	v.check(c.SMS.MaxPerDay >= 0, "sms.max_per_day", "must be 0 for no bound, or more")
}

// minTurnTTL is about the time for setting up a call.
const minTurnTTL = 60

func (v *validator) turn(t Turn) {
	for i, uri := range t.URIs {
		v.check(strings.HasPrefix(uri, "turn:") || strings.HasPrefix(uri, "turns:"), fmt.Sprintf("turn.uris[%d]", i),
			"must be the URI of a TURN server, such as turn:turn.example.org?transport=udp")
	}
	v.check(len(t.URIs) == 0 || t.SharedSecret != "" || t.Username != "" && t.Password != "", "turn.shared_secret",
		"must be set, or turn.username and turn.password, where there are turn.uris")
	v.check(t.TTL >= minTurnTTL, "turn.ttl", "must be %d seconds or more", minTurnTTL)
}

// maxLiveKitURLs is more than any client looks at.
const maxLiveKitURLs = 10

func (v *validator) calls(c Calls) {
	v.check(len(c.LiveKitURLs) <= maxLiveKitURLs, "calls.livekit_urls", "must be %d at most", maxLiveKitURLs)
	for i, address := range c.LiveKitURLs {
		key := fmt.Sprintf("calls.livekit_urls[%d]", i)
		v.check(isBaseURL(address), key, "must be an http or https URL without a query, such as https://livekit.example.org/jwt")
		v.check(!slices.Contains(c.LiveKitURLs[:i], address), key, "is listed twice")
	}
}

// maxContacts is more than anybody reads.
const maxContacts = 100

func (v *validator) support(s Support) {
	v.check(s.Page == "" || isGatewayURL(s.Page), "support.page", "must be an http or https URL, such as https://example.org/help")
	for key, contacts := range map[string][]string{"support.admins": s.Admins, "support.security": s.Security} {
		v.check(len(contacts) <= maxContacts, key, "must be %d at most", maxContacts)
		for i, contact := range contacts {
			v.check(isContact(contact), fmt.Sprintf("%s[%d]", key, i),
				"must be a user ID such as @admin:example.org, or an e-mail address such as admin@example.org")
		}
	}
}

// isContact allows user IDs, and e-mail addresses without a name.
func isContact(s string) bool {
	if strings.HasPrefix(s, "@") {
		_, _, err := matrix.ParseUserID(s)
		return err == nil
	}
	address, err := mail.ParseAddress(s)
	return err == nil && address.Address == s
}

// isGatewayURL allows a query, unlike isBaseURL.
func isGatewayURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// isPageURL allows a query and a fragment, unlike isBaseURL, but no password.
func isPageURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isGatewayURL(s) && u.User == nil
}

func (v *validator) rate(key string, r Rate) {
	v.check(r.PerSecond > 0 && r.PerSecond <= 1e6, key+".per_second", "must be more than 0, and 1000000 at most")
	v.check(r.Burst >= 1, key+".burst", "must be 1 or more")
}

func isListenAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(host, " /") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// isDatabaseURL leaves the reason out, because the driver's error may quote the password.
func isDatabaseURL(s string) bool {
	_, err := pgconn.ParseConfig(s)
	return err == nil
}
