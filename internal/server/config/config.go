package config

import (
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/acme"
)

// Config is the whole configuration. The yaml tags are the keys of the file; see [Keys] for how the
// environment variables are named after them.
type Config struct {
	// ServerName is the part after the colon of every user ID. It cannot change once the server has
	// users.
	ServerName string `yaml:"server_name"`
	// DataDir is the folder of everything that the server writes outside PostgreSQL,
	// and the private PostgreSQL cluster when there is no Database.URL.
	DataDir string `yaml:"data_dir"`
	// Listen lists where clients are served.
	Listen []Listener `yaml:"listen"`
	// PublicBaseURL is the address for clients in /.well-known/matrix/client; empty: it
	// is not served.
	PublicBaseURL string `yaml:"public_base_url"`
	// FrontPage is what people find at /: auto, tutorial, plain, or the URL that they are sent on to. See
	// [Config.FrontPageShown].
	FrontPage string `yaml:"front_page"`
	// TLS says where the certificate of the TLS listeners comes from.
	TLS TLS `yaml:"tls"`
	// Database says which PostgreSQL is used.
	Database Database `yaml:"database"`
	// Registration has the rules of who may make an account.
	Registration Registration `yaml:"registration"`
	// Login says how people may log in.
	Login Login `yaml:"login"`
	// OAuth says how apps sign in by the OAuth 2.0 API.
	OAuth OAuth `yaml:"oauth"`
	// Guests says whether there are guest accounts.
	Guests Guests `yaml:"guests"`
	// Password has the rules about new passwords.
	Password Password `yaml:"password"`
	// Threepids says how e-mail addresses and phone numbers are dealt with.
	Threepids Threepids `yaml:"threepids"`
	// SSO says where else users have accounts by which they can sign in here.
	SSO SSO `yaml:"sso"`
	// LDAP says which directory checks passwords.
	LDAP LDAP `yaml:"ldap"`
	// Email says how mail is sent.
	Email Email `yaml:"email"`
	// SMS says how text messages are sent.
	SMS SMS `yaml:"sms"`
	// RateLimits bounds how often callers may do things.
	RateLimits RateLimits `yaml:"rate_limits"`
	// Log selects what is logged, and how.
	Log Log `yaml:"log"`
	// Metrics says where Prometheus finds its figures.
	Metrics Metrics `yaml:"metrics"`
	// Memory bounds the memory of the process.
	Memory Memory `yaml:"memory"`
	// Limits bounds the cost of requests.
	Limits Limits `yaml:"limits"`
	// Media bounds the files that users upload.
	Media Media `yaml:"media"`
	// URLPreviews says whether pages behind links are looked at.
	URLPreviews URLPreviews `yaml:"url_previews"`
	// Outgoing says where the server may connect to for its users.
	Outgoing Outgoing `yaml:"outgoing"`
	// Push says where notifications may be sent to.
	Push Push `yaml:"push"`
	// Turn says which TURN servers relay calls.
	Turn Turn `yaml:"turn"`
	// Calls says through which servers group calls go.
	Calls Calls `yaml:"calls"`
	// Support says whom people turn to about the server.
	Support Support `yaml:"support"`
	// PolicyLists says which moderation policy lists are applied.
	PolicyLists PolicyLists `yaml:"policy_lists"`
	// PolicyServer is the policy server that has the name of this server.
	PolicyServer PolicyServer `yaml:"policy_server"`
	// AppServiceFiles are the registrations of application services.
	AppServiceFiles []string `yaml:"app_service_files"`
	// ShutdownDelay is for how many seconds a server that is to stop still answers while /ready says 503.
	ShutdownDelay int `yaml:"shutdown_delay"`
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`

	// File is the path of the file that was read; empty: none was.
	File string `yaml:"-"`

	// ThrowawayCluster is the folder of a private PostgreSQL cluster that trades
	// durability for speed; empty: the cluster is durable and in DataDir. It is for
	// `homeserver dev` and tests, and cannot be configured.
	ThrowawayCluster string `yaml:"-"`
	// ClusterTemplates is the folder of prepared clusters that a ThrowawayCluster is copied from; empty: it is
	// made by itself.
	ClusterTemplates string `yaml:"-"`
	// CheapPasswords has passwords hashed at next to no cost, which protects nobody: for `homeserver dev`.
	CheapPasswords bool `yaml:"-"`
}

// TLS says where the certificate comes from: from files, by ACME, or, if neither is set, from a
// local certificate authority that the server makes in DataDir/tls.
type TLS struct {
	// Certificate is a PEM file with the certificate and its chain.
	Certificate string `yaml:"certificate"`
	// Key is the PEM file with the private key of Certificate.
	Key string `yaml:"key"`
	// ACME has certificates issued and renewed by an authority such as Let's Encrypt.
	ACME ACME `yaml:"acme"`
}

// ACME has certificates issued by an authority that speaks RFC 8555.
type ACME struct {
	// Enabled accepts the authority's terms of service and uses it.
	Enabled bool `yaml:"enabled"`
	// Email is where the authority may write to; optional.
	Email string `yaml:"email"`
	// Hosts are the names to get certificates for; empty: the server name.
	Hosts []string `yaml:"hosts"`
	// Directory is the URL of the authority's ACME directory.
	Directory string `yaml:"directory"`
}

// Database says which PostgreSQL is used.
type Database struct {
	// URL connects to a PostgreSQL that somebody else runs; empty: the server runs its own.
	URL Secret `yaml:"url"`
	// MaxConnections bounds the pool of connections.
	MaxConnections int `yaml:"max_connections"`
}

// Registration says who may make an account.
type Registration struct {
	// Enabled allows everybody to register; nil leaves it to [Config.RegistrationOpen].
	Enabled *bool `yaml:"enabled"`
	// SharedSecret allows those who know it to register accounts, administrators too;
	// empty: nobody.
	SharedSecret Secret `yaml:"shared_secret"`
	// RequireToken says that only those can register who have a token that the operator has made.
	RequireToken bool `yaml:"require_token"`
	// RequireEmail says that only those can register who prove an e-mail address.
	RequireEmail bool `yaml:"require_email"`
	// UsernamePattern is a regular expression that the names must match which people choose; empty: all do.
	UsernamePattern string `yaml:"username_pattern"`
	// ReservedNames are local parts of user IDs that nobody gets by registration.
	ReservedNames []string `yaml:"reserved_names"`
	// Terms are the documents that those who register must accept.
	Terms []Terms `yaml:"terms" env:"-"`
}

// Terms is a document in one language.
type Terms struct {
	// Document is the same for all languages of one document, such as privacy_policy.
	Document string `yaml:"document"`
	// Version of the document, the same in all languages.
	Version string `yaml:"version"`
	// Language is a tag, such as en or pt-BR.
	Language string `yaml:"language"`
	// Name is what people read.
	Name string `yaml:"name"`
	// URL is where the document is.
	URL string `yaml:"url"`
}

// Guests says whether there are guest accounts.
type Guests struct {
	// Enabled allows everybody to make guest accounts; nil leaves it to
	// [Config.GuestsAllowed].
	Enabled *bool `yaml:"enabled"`
}

// Threepids says how e-mail addresses and phone numbers are dealt with.
type Threepids struct {
	// ConcealRegistered keeps strangers from learning whether an address is registered.
	ConcealRegistered bool `yaml:"conceal_registered"`
	// NextLinkHosts are the only hosts that clients may have users sent on to; empty: all, but
	// only by a click.
	NextLinkHosts []string `yaml:"next_link_hosts"`
	// IdentityServers are the only ones that are spoken to; empty: all, by https.
	IdentityServers []string `yaml:"identity_servers"`
}

// Email says how mail is sent.
type Email struct {
	// Host is the SMTP server; empty: no mail is sent.
	Host string `yaml:"host"`
	// Port of the SMTP server; 0: the usual one of TLS.
	Port int `yaml:"port"`
	// TLS says how the connection is protected.
	TLS string `yaml:"tls" oneof:"starttls, tls, none"`
	// User to log in as; empty: without.
	User string `yaml:"user"`
	// Password of User.
	Password Secret `yaml:"password"`
	// From is the sender.
	From string `yaml:"from"`
	// AllowedDomains are the only ones whose addresses are taken; empty: all.
	AllowedDomains []string `yaml:"allowed_domains"`
	// RoomURL is what the links to rooms in mails about notifications begin with; the ID of
	// the room follows.
	RoomURL string `yaml:"room_url"`
}

// SMS says how text messages are sent.
type SMS struct {
	// URL is the gateway that is sent a POST for each message; empty: none is sent.
	URL URL `yaml:"url"`
	// Authorization is the header of that name.
	Authorization Secret `yaml:"authorization"`
	// Body is a template of the JSON for the gateway.
	Body string `yaml:"body"`
	// AllowedCountries are the only ones whose numbers are taken; empty: all.
	AllowedCountries []string `yaml:"allowed_countries"`
	// MaxPerHour is how many messages the whole server sends in an hour; 0: no bound.
	MaxPerHour int `yaml:"max_per_hour"`
	// MaxPerDay is how many it sends in 24 hours; 0: no bound.
	MaxPerDay int `yaml:"max_per_day"`
}

// Password holds the rules about new passwords.
type Password struct {
	// MinLength is the least number of characters of a new password.
	MinLength int `yaml:"min_length"`
}

// Log says what is logged, and how.
type Log struct {
	// Level is the least level that is logged: debug, info, warn or error.
	Level string `yaml:"level" oneof:"debug, info, warn, error"`
	// Format is text or json.
	Format string `yaml:"format" oneof:"text, json"`
	// Requests says whether each request is a line.
	Requests bool `yaml:"requests"`
}

// Metrics says where Prometheus finds its figures.
type Metrics struct {
	// Listen is host:port of a plain HTTP listener of its own; empty: there is none.
	Listen string `yaml:"listen"`
}

// Memory bounds the memory of the process. See [Config.Budget].
type Memory struct {
	// Limit is the limit for the garbage collector, from which the sizes of buffers and
	// caches are derived; 0: it is derived from the machine's memory.
	Limit Size `yaml:"limit"`
}

// Limits bounds the cost of requests.
type Limits struct {
	// RequestBody is the largest body of a request.
	RequestBody Size `yaml:"request_body"`
	// RequestMemory is the memory for the bodies of all requests at once; 0: a share of the limit.
	RequestMemory Size `yaml:"request_memory"`
	// Requests is how many may be worked on at once.
	Requests int `yaml:"requests"`
	// Polls is how many /sync and /events may wait at once.
	Polls int `yaml:"polls"`
	// PollsPerUser is how many of one user may.
	PollsPerUser int `yaml:"polls_per_user"`
	// Transfers is how many files may be on their way at once.
	Transfers int `yaml:"transfers"`
	// Connections is how many there may be to all listeners for clients.
	Connections int `yaml:"connections"`
	// ConnectionsPerAddress is how many there may be from one address.
	ConnectionsPerAddress int `yaml:"connections_per_address"`
	// LiveWindow is the memory for the newest entries of the journal, from which /sync is served;
	// 0: a share of the memory.
	LiveWindow Size `yaml:"live_window"`
	// WriteQueue is the memory for writes that wait; beyond it senders must wait; 0: a
	// share of the memory.
	WriteQueue Size `yaml:"write_queue"`
	// FreeDisk is how much of a disk must be free for anything more to be kept there; 0: it may be filled.
	FreeDisk Size `yaml:"free_disk"`
}

// Media bounds the files that users upload, and says where they are kept.
type Media struct {
	// Storage says whether they are kept in a folder or by an S3 service.
	Storage string `yaml:"storage" oneof:"folder, s3"`
	// Folder is where they are kept, with the storage folder; empty: in DataDir.
	Folder string `yaml:"folder"`
	// S3 says where they are kept with the storage s3.
	S3 S3 `yaml:"s3"`
	// MaxUpload is the size of the largest file.
	MaxUpload Size `yaml:"max_upload"`
	// UserQuota bounds the sum of a user's files, each counted in blocks of 4 KiB; 0: no bound.
	UserQuota Size `yaml:"user_quota"`
	// Open allows everybody who knows the address of a file to read it; false: users
	// only.
	Open bool `yaml:"open"`
	// ThumbnailMemory bounds the memory of unpacked pictures while thumbnails are made;
	// 0: a share of the memory.
	ThumbnailMemory Size `yaml:"thumbnail_memory"`
}

// URLPreviews says whether pages behind links are looked at.
type URLPreviews struct {
	// Enabled has the server load the pages that its users ask about.
	Enabled bool `yaml:"enabled"`
}

// Outgoing says where the server may connect to for its users.
type Outgoing struct {
	// AllowedRanges may be connected to although they are not on the public internet, or this machine's.
	AllowedRanges []netip.Prefix `yaml:"allowed_ranges"`
}

// Push says where notifications may be sent to.
type Push struct {
	// AllowHTTP allows push gateways that are not reached by TLS.
	AllowHTTP bool `yaml:"allow_http"`
}

// Calls says through which servers group calls go.
type Calls struct {
	// LiveKitURLs are the addresses of the authorisation services of LiveKit servers, the one to prefer
	// first; empty: clients are told of none.
	LiveKitURLs []string `yaml:"livekit_urls"`
}

// Support says whom people turn to about the server, in /.well-known/matrix/support.
type Support struct {
	// Page is the address of a web page with help; empty: there is none.
	Page string `yaml:"page"`
	// Admins are user IDs and e-mail addresses for questions of all kinds.
	Admins []string `yaml:"admins"`
	// Security are those for confidential reports of security problems.
	Security []string `yaml:"security"`
}

// PolicyLists says which moderation policy lists are applied.
type PolicyLists struct {
	// Rooms are the IDs or aliases of the rooms with the rules; empty: there are none.
	Rooms []string `yaml:"rooms"`
	// DryRun refuses nothing, and logs what would be refused.
	DryRun bool `yaml:"dry_run"`
}

// PolicyServer is a program that judges the events of rooms which ask it to, and which has the name of this server. It is
// another program: this server says where its key is.
type PolicyServer struct {
	// Ed25519Key is its public key in unpadded Base64; empty: there is no policy server.
	Ed25519Key string `yaml:"ed25519_key"`
}

// Turn says which TURN servers relay calls.
type Turn struct {
	// URIs are those of the TURN servers; empty: there is none.
	URIs []string `yaml:"uris"`
	// SharedSecret is that of the TURN servers, from which each user gets credentials; empty: Username and
	// Password are those of all.
	SharedSecret Secret `yaml:"shared_secret"`
	// Username is for TURN servers without a shared secret.
	Username string `yaml:"username"`
	// Password goes with Username.
	Password Secret `yaml:"password"`
	// TTL is how many seconds credentials are valid.
	TTL int `yaml:"ttl"`
	// AllowGuests allows guests to use the TURN servers too.
	AllowGuests bool `yaml:"allow_guests"`
}

// Default returns the configuration of a server that nobody has configured.
func Default() *Config {
	return &Config{
		ServerName: "localhost",
		DataDir:    "./data",
		FrontPage:  FrontPageAuto,
		Listen: []Listener{
			{Address: "localhost:8008"},
			{Address: "localhost:8448", TLS: true},
		},
		TLS:        TLS{ACME: ACME{Directory: acme.LetsEncryptURL}},
		Database:   Database{MaxConnections: 20},
		Email:      Email{TLS: "starttls", RoomURL: "https://matrix.to/#/"},
		LDAP:       LDAP{Filter: "(&(objectClass=person)(uid={name}))", ID: "entryUUID", UserName: "{uid}", DisplayName: "{cn}"},
		SMS:        SMS{Body: `{"to": "{to}", "text": "{text}"}`, MaxPerHour: 100, MaxPerDay: 500},
		Login:      Login{AccessTokenLifetime: 3600, Password: true},
		OAuth:      OAuth{AccessTokenLifetime: 300},
		RateLimits: defaultRateLimits(),
		Log:        Log{Level: "info", Format: "text", Requests: true},
		Limits: Limits{
			RequestBody: 1 << 20,
			Requests:    1000, Polls: 10_000, PollsPerUser: 200, Transfers: 1000,
			Connections: 10_000, ConnectionsPerAddress: 1000,
			FreeDisk: 512 << 20,
		},
		Media: Media{Storage: "folder", S3: S3{Region: "us-east-1", PathStyle: true}, MaxUpload: 50 << 20, UserQuota: 5 << 30, Open: true},
		Turn:  Turn{TTL: 86400, AllowGuests: true},
	}
}

// RegistrationOpen reports whether everybody may register. Unless it is configured, that is so only
// where nobody else can come by: the server is called localhost and listens on loopback alone.
func (c *Config) RegistrationOpen() bool {
	if c.Registration.Enabled != nil {
		return *c.Registration.Enabled
	}
	return c.local()
}

// GuestsAllowed reports whether everybody may make a guest account. Unless it is configured, that is so
// only where nobody else can come by, and registration is open.
func (c *Config) GuestsAllowed() bool {
	if c.Guests.Enabled != nil {
		return *c.Guests.Enabled
	}
	return c.local() && c.RegistrationOpen()
}

// local reports whether the server is for this machine alone.
func (c *Config) local() bool {
	for _, l := range c.Listen {
		if !l.Loopback() {
			return false
		}
	}
	return c.ServerName == "localhost"
}

// ServerHost returns the host of the server name, without the port that it may have and without the
// brackets of an IPv6 address.
func (c *Config) ServerHost() string {
	host, _, err := net.SplitHostPort(c.ServerName)
	if err != nil {
		host = c.ServerName
	}
	return strings.Trim(host, "[]")
}

// ACMEHosts returns the names to get certificates for: those configured, else the server name's host.
func (c *Config) ACMEHosts() []string {
	if len(c.TLS.ACME.Hosts) > 0 {
		return c.TLS.ACME.Hosts
	}
	return []string{c.ServerHost()}
}

// FileText names the file that was read, for people.
func (c *Config) FileText() string {
	if c.File == "" {
		return "no configuration file"
	}
	return "the configuration file " + c.File
}

// TLSDir returns the folder of the certificates and keys that the server makes or obtains.
func (c *Config) TLSDir() string { return filepath.Join(c.DataDir, "tls") }

// SlogLevel returns Level for log/slog.
func (l Log) SlogLevel() slog.Level {
	switch l.Level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
