package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// equal compares configurations, wherever they come from; netip.Prefix has fields of its own that cmp must
// not look into.
var equal = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.IgnoreFields(Config{}, "File")}

// write makes a configuration file and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load returns the configuration of a file that must be good.
func load(t *testing.T, content string, environ ...string) *Config {
	t.Helper()
	cfg, err := Load(Sources{File: write(t, content), Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestLoadWithoutAnythingGivesTheDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Sources{Environ: []string{"PATH=/bin", "HOMESERVER_DATABASE_URL="}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), cfg, equal); diff != "" {
		t.Error(diff)
	}
	for name, content := range map[string]string{
		"empty":              "",
		"comments only":      "# server_name: example.org\n",
		"sections commented": "registration:\n  # enabled: true\nlog:\nlisten:\n",
	} {
		if diff := cmp.Diff(Default(), load(t, content), equal); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

const everything = `
server_name: example.org
data_dir: /var/lib/homeserver
listen:
  - address: 0.0.0.0:8008
  - tls://[::]:8448
  - {address: ":443", tls: true}
public_base_url: https://matrix.example.org
front_page: https://app.example.org/?from=matrix#/welcome
tls:
  certificate: /etc/cert.pem
  key: /etc/key.pem
  acme:
    email: admin@example.org
    hosts: [example.org, matrix.example.org]
    directory: https://acme.example.org/dir
database:
  url: postgres://u:hunter2@db/homeserver
  max_connections: 7
registration:
  enabled: false
  shared_secret: "012"
  require_token: true
  require_email: true
  username_pattern: "[a-z]+"
  reserved_names: [admin]
  terms:
    - {document: privacy_policy, version: "1.2", language: en, name: Privacy policy, url: "https://example.org/privacy"}
login:
  password: false
  access_token_lifetime: 900
oauth:
  enabled: true
  access_token_lifetime: 600
guests:
  enabled: true
password:
  min_length: 8
threepids:
  conceal_registered: true
  next_link_hosts: [app.example.org]
  identity_servers: [id.example.org, "http://localhost:8090"]
sso:
  providers:
    - id: company
      name: Example Ltd
      icon: mxc://example.org/abc
      brand: gitlab
      issuer: https://id.example.org/realms/all
      client_id: matrix
      client_secret: hunter2
      scopes: [profile, groups]
      user_name: "{email}"
      display_name: "{given_name}"
      fixed_name: true
      link_only: true
  trusted_clients: [app.example.org]
ldap:
  url: ldap://ldap.example.org
  start_tls: true
  ca_file: /etc/ldap.pem
  bind_dn: cn=matrix
  bind_password: hunter2
  base_dn: dc=example
  filter: "(sAMAccountName={name})"
  id: objectGUID
  user_name: "{sAMAccountName}"
  display_name: "{displayName}"
  link_only: true
email:
  host: mail.example.org
  port: 2525
  tls: tls
  user: matrix
  password: hunter2
  from: Example <matrix@example.org>
  allowed_domains: [example.org]
  room_url: https://app.example.org/#/room/
sms:
  url: https://sms.example.org/send?account=1
  authorization: Bearer hunter2
  body: '[{"to": "{to}", "text": "{text}"}]'
  allowed_countries: [DE]
  max_per_hour: 30
  max_per_day: 60
rate_limits:
  enabled: false
  requests: {per_second: 1.5, burst: 3}
  messages: {per_second: 2.5, burst: 4}
  room_creation: {per_second: 3.5, burst: 5}
  joins: {per_second: 4.5, burst: 6}
  invites: {per_second: 5.5, burst: 7}
  invites_to_user: {per_second: 6.5, burst: 8}
  profile: {per_second: 7.5, burst: 9}
  written_bytes: {per_second: 70.5, burst: 90}
  changes: {per_second: 8.5, burst: 10}
  searches: {per_second: 9.5, burst: 11}
  login:
    per_second: 10.5
    burst: 12
  failed_login: {per_second: 11.5, burst: 13}
  failed_login_account: {per_second: 11.75, burst: 14}
  login_tokens: {per_second: 12.5, burst: 14}
  registration: {per_second: 13.5, burst: 15}
  name_checks: {per_second: 14.5, burst: 16}
  mails: {per_second: 15.5, burst: 17}
  mails_to_address: {per_second: 16.5, burst: 18}
  codes: {per_second: 17.5, burst: 19}
  reports: {per_second: 18.5, burst: 40}
  uploads: {per_second: 19.5, burst: 21}
  downloads: {per_second: 20.5, burst: 22}
  previews: {per_second: 21.5, burst: 23}
  thumbnails: {per_second: 22.5, burst: 24}
log:
  level: debug
  format: json
  requests: false
metrics:
  listen: localhost:9000
memory:
  limit: 512MiB
limits:
  request_body: 2MiB
  request_memory: 8MiB
  requests: 11
  polls: 12
  polls_per_user: 13
  transfers: 14
  connections: 15
  connections_per_address: 16
  live_window: 3MiB
  write_queue: 4MiB
  free_disk: 9MiB
media:
  storage: s3
  folder: /srv/media
  s3:
    endpoint: https://s3.example.org:9000
    region: eu-west-3
    bucket: chat-files
    prefix: one/two/
    path_style: false
    access_key: someone
    secret_key: hunter2
  max_upload: 5MiB
  user_quota: 6MiB
  open: false
  thumbnail_memory: 7MiB
push:
  allow_http: true
url_previews:
  enabled: true
outgoing:
  allowed_ranges: [192.168.1.0/24, "::1"]
turn:
  uris: ["turn:turn.example.org?transport=udp", "turns:turn.example.org"]
  shared_secret: hunter2
  username: matrix
  password: hunter2
  ttl: 3600
  allow_guests: false
calls:
  livekit_urls: ["https://livekit.example.org/jwt", "http://localhost:8090"]
support:
  page: https://example.org/help?from=matrix
  admins: ["@admin:example.org", admin@example.org]
  security: [security@example.org]
policy_lists:
  rooms: ["#bans:example.org", "!abc:example.org"]
  dry_run: true
shutdown_delay: 10
policy_server:
  ed25519_key: 6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s
app_service_files: [/etc/irc.yaml, slack.yaml]
trusted_proxies: [127.0.0.1, 10.1.2.3/8, "fd00::/8"]
`

func TestLoadReadsEveryKey(t *testing.T) {
	t.Parallel()
	closed, open := false, true
	want := &Config{
		ServerName:    "example.org",
		DataDir:       "/var/lib/homeserver",
		Listen:        []Listener{{"0.0.0.0:8008", false}, {"[::]:8448", true}, {":443", true}},
		PublicBaseURL: "https://matrix.example.org",
		FrontPage:     "https://app.example.org/?from=matrix#/welcome",
		TLS: TLS{Certificate: "/etc/cert.pem", Key: "/etc/key.pem", ACME: ACME{
			Email:     "admin@example.org",
			Hosts:     []string{"example.org", "matrix.example.org"},
			Directory: "https://acme.example.org/dir",
		}},
		Database: Database{URL: "postgres://u:hunter2@db/homeserver", MaxConnections: 7},
		Registration: Registration{
			Enabled: &closed, SharedSecret: "012", RequireToken: true, RequireEmail: true, UsernamePattern: "[a-z]+", ReservedNames: []string{"admin"},
			Terms: []Terms{{Document: "privacy_policy", Version: "1.2", Language: "en", Name: "Privacy policy", URL: "https://example.org/privacy"}},
		},
		Login:    Login{AccessTokenLifetime: 900},
		OAuth:    OAuth{Enabled: &open, AccessTokenLifetime: 600},
		Guests:   Guests{Enabled: &open},
		Password: Password{MinLength: 8},
		Threepids: Threepids{
			ConcealRegistered: true,
			NextLinkHosts:     []string{"app.example.org"},
			IdentityServers:   []string{"id.example.org", "http://localhost:8090"},
		},
		SSO: SSO{
			Providers: []SSOProvider{{
				ID: "company", Name: "Example Ltd", Icon: "mxc://example.org/abc", Brand: "gitlab",
				Issuer: "https://id.example.org/realms/all", ClientID: "matrix", ClientSecret: "hunter2",
				Scopes: []string{"profile", "groups"}, UserName: "{email}", DisplayName: "{given_name}", FixedName: true, LinkOnly: true,
			}},
			TrustedClients: []string{"app.example.org"},
		},
		LDAP: LDAP{
			URL: "ldap://ldap.example.org", StartTLS: true, CAFile: "/etc/ldap.pem", BindDN: "cn=matrix", BindPassword: "hunter2",
			BaseDN: "dc=example", Filter: "(sAMAccountName={name})", ID: "objectGUID", UserName: "{sAMAccountName}",
			DisplayName: "{displayName}", LinkOnly: true,
		},
		Email: Email{
			Host: "mail.example.org", Port: 2525, TLS: "tls", User: "matrix", Password: "hunter2",
			From: "Example <matrix@example.org>", AllowedDomains: []string{"example.org"},
			RoomURL: "https://app.example.org/#/room/",
		},
		SMS: SMS{
			URL: "https://sms.example.org/send?account=1", Authorization: "Bearer hunter2",
			Body: `[{"to": "{to}", "text": "{text}"}]`, AllowedCountries: []string{"DE"}, MaxPerHour: 30, MaxPerDay: 60,
		},
		RateLimits: RateLimits{
			Requests:           Rate{1.5, 3},
			Messages:           Rate{2.5, 4},
			RoomCreation:       Rate{3.5, 5},
			Joins:              Rate{4.5, 6},
			Invites:            Rate{5.5, 7},
			InvitesToUser:      Rate{6.5, 8},
			Profile:            Rate{7.5, 9},
			WrittenBytes:       Rate{70.5, 90},
			Changes:            Rate{8.5, 10},
			Searches:           Rate{9.5, 11},
			Login:              Rate{10.5, 12},
			FailedLogin:        Rate{11.5, 13},
			FailedLoginAccount: Rate{11.75, 14},
			LoginTokens:        Rate{12.5, 14},
			Registration:       Rate{13.5, 15},
			NameChecks:         Rate{14.5, 16},
			Mails:              Rate{15.5, 17},
			MailsToAddress:     Rate{16.5, 18},
			Codes:              Rate{17.5, 19},
			Reports:            Rate{18.5, 40},
			Uploads:            Rate{19.5, 21},
			Downloads:          Rate{20.5, 22},
			Previews:           Rate{21.5, 23},
			Thumbnails:         Rate{22.5, 24},
		},
		Log:     Log{Level: "debug", Format: "json"}, // no requests
		Metrics: Metrics{Listen: "localhost:9000"},
		Push:    Push{AllowHTTP: true},
		Memory:  Memory{Limit: 512 << 20},
		Limits: Limits{
			RequestBody: 2 << 20, RequestMemory: 8 << 20, Requests: 11, Polls: 12, PollsPerUser: 13, Transfers: 14,
			Connections: 15, ConnectionsPerAddress: 16, LiveWindow: 3 << 20, WriteQueue: 4 << 20, FreeDisk: 9 << 20,
		},
		Media: Media{
			Storage: "s3", Folder: "/srv/media",
			S3: S3{
				Endpoint: "https://s3.example.org:9000", Region: "eu-west-3", Bucket: "chat-files", Prefix: "one/two/",
				AccessKey: "someone", SecretKey: "hunter2",
			},
			MaxUpload: 5 << 20, UserQuota: 6 << 20, Open: false, ThumbnailMemory: 7 << 20,
		},
		URLPreviews: URLPreviews{Enabled: true},
		Outgoing:    Outgoing{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("::1/128")}},
		Turn: Turn{
			URIs:         []string{"turn:turn.example.org?transport=udp", "turns:turn.example.org"},
			SharedSecret: "hunter2", Username: "matrix", Password: "hunter2", TTL: 3600,
		},
		Calls: Calls{LiveKitURLs: []string{"https://livekit.example.org/jwt", "http://localhost:8090"}},
		Support: Support{
			Page: "https://example.org/help?from=matrix", Admins: []string{"@admin:example.org", "admin@example.org"}, Security: []string{"security@example.org"},
		},
		PolicyLists:     PolicyLists{Rooms: []string{"#bans:example.org", "!abc:example.org"}, DryRun: true},
		PolicyServer:    PolicyServer{Ed25519Key: "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"},
		ShutdownDelay:   10,
		AppServiceFiles: []string{"/etc/irc.yaml", "slack.yaml"},
		TrustedProxies:  []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	if diff := cmp.Diff(want, load(t, everything), equal); diff != "" {
		t.Error(diff)
	}
	// No field of the wanted configuration is left at its default, so that no key is forgotten above.
	for _, key := range Keys() {
		got, def := key.field(want), key.field(Default())
		if cmp.Equal(got.Interface(), def.Interface(), equal) && key.Name != "tls.acme.enabled" {
			t.Errorf("%s is not tested: it has its default", key.Name)
		}
	}
}

// everyVariable sets the same as the file above, but for what excludes each other.
var everyVariable = []string{
	"HOMESERVER_SERVER_NAME=example.org",
	"HOMESERVER_DATA_DIR=/var/lib/homeserver",
	"HOMESERVER_LISTEN=0.0.0.0:8008, tls://[::]:8448,tls://:443",
	"HOMESERVER_PUBLIC_BASE_URL=https://matrix.example.org",
	"HOMESERVER_FRONT_PAGE=https://app.example.org/?from=matrix#/welcome",
	"HOMESERVER_TLS_CERTIFICATE=/etc/cert.pem",
	"HOMESERVER_TLS_KEY=/etc/key.pem",
	"HOMESERVER_TLS_ACME_ENABLED=false",
	"HOMESERVER_TLS_ACME_EMAIL=admin@example.org",
	"HOMESERVER_TLS_ACME_HOSTS=example.org,matrix.example.org",
	"HOMESERVER_TLS_ACME_DIRECTORY=https://acme.example.org/dir",
	"HOMESERVER_DATABASE_URL=postgres://u:hunter2@db/homeserver",
	"HOMESERVER_DATABASE_MAX_CONNECTIONS=7",
	"HOMESERVER_REGISTRATION_ENABLED=false",
	"HOMESERVER_REGISTRATION_SHARED_SECRET=012",
	"HOMESERVER_REGISTRATION_REQUIRE_TOKEN=true",
	"HOMESERVER_REGISTRATION_REQUIRE_EMAIL=true",
	"HOMESERVER_REGISTRATION_USERNAME_PATTERN=[a-z]+",
	"HOMESERVER_REGISTRATION_RESERVED_NAMES=admin",
	"HOMESERVER_GUESTS_ENABLED=true",
	"HOMESERVER_PASSWORD_MIN_LENGTH=8",
	"HOMESERVER_THREEPIDS_CONCEAL_REGISTERED=true",
	"HOMESERVER_THREEPIDS_NEXT_LINK_HOSTS=app.example.org",
	"HOMESERVER_THREEPIDS_IDENTITY_SERVERS=id.example.org,http://localhost:8090",
	"HOMESERVER_PUSH_ALLOW_HTTP=true",
	"HOMESERVER_EMAIL_HOST=mail.example.org",
	"HOMESERVER_EMAIL_PORT=2525",
	"HOMESERVER_EMAIL_TLS=tls",
	"HOMESERVER_EMAIL_USER=matrix",
	"HOMESERVER_EMAIL_PASSWORD=hunter2",
	"HOMESERVER_EMAIL_FROM=Example <matrix@example.org>",
	"HOMESERVER_EMAIL_ALLOWED_DOMAINS=example.org",
	"HOMESERVER_EMAIL_ROOM_URL=https://app.example.org/#/room/",
	"HOMESERVER_SMS_URL=https://sms.example.org/send?account=1",
	"HOMESERVER_SMS_AUTHORIZATION=Bearer hunter2",
	`HOMESERVER_SMS_BODY=[{"to": "{to}", "text": "{text}"}]`,
	"HOMESERVER_SMS_ALLOWED_COUNTRIES=DE",
	"HOMESERVER_SMS_MAX_PER_HOUR=30",
	"HOMESERVER_SMS_MAX_PER_DAY=60",
	"HOMESERVER_RATE_LIMITS_ENABLED=false",
	"HOMESERVER_RATE_LIMITS_REQUESTS_PER_SECOND=1.5",
	"HOMESERVER_RATE_LIMITS_REQUESTS_BURST=3",
	"HOMESERVER_RATE_LIMITS_MESSAGES_PER_SECOND=2.5",
	"HOMESERVER_RATE_LIMITS_MESSAGES_BURST=4",
	"HOMESERVER_RATE_LIMITS_ROOM_CREATION_PER_SECOND=3.5",
	"HOMESERVER_RATE_LIMITS_ROOM_CREATION_BURST=5",
	"HOMESERVER_RATE_LIMITS_JOINS_PER_SECOND=4.5",
	"HOMESERVER_RATE_LIMITS_JOINS_BURST=6",
	"HOMESERVER_RATE_LIMITS_INVITES_PER_SECOND=5.5",
	"HOMESERVER_RATE_LIMITS_INVITES_BURST=7",
	"HOMESERVER_RATE_LIMITS_INVITES_TO_USER_PER_SECOND=6.5",
	"HOMESERVER_RATE_LIMITS_INVITES_TO_USER_BURST=8",
	"HOMESERVER_RATE_LIMITS_PROFILE_PER_SECOND=7.5",
	"HOMESERVER_RATE_LIMITS_PROFILE_BURST=9",
	"HOMESERVER_RATE_LIMITS_WRITTEN_BYTES_PER_SECOND=70.5",
	"HOMESERVER_RATE_LIMITS_WRITTEN_BYTES_BURST=90",
	"HOMESERVER_RATE_LIMITS_CHANGES_PER_SECOND=8.5",
	"HOMESERVER_RATE_LIMITS_CHANGES_BURST=10",
	"HOMESERVER_RATE_LIMITS_SEARCHES_PER_SECOND=9.5",
	"HOMESERVER_RATE_LIMITS_SEARCHES_BURST=11",
	"HOMESERVER_RATE_LIMITS_LOGIN_PER_SECOND=10.5",
	"HOMESERVER_RATE_LIMITS_LOGIN_BURST=12",
	"HOMESERVER_RATE_LIMITS_FAILED_LOGIN_PER_SECOND=11.5",
	"HOMESERVER_RATE_LIMITS_FAILED_LOGIN_BURST=13",
	"HOMESERVER_RATE_LIMITS_FAILED_LOGIN_ACCOUNT_PER_SECOND=11.75",
	"HOMESERVER_RATE_LIMITS_FAILED_LOGIN_ACCOUNT_BURST=14",
	"HOMESERVER_RATE_LIMITS_LOGIN_TOKENS_PER_SECOND=12.5",
	"HOMESERVER_RATE_LIMITS_LOGIN_TOKENS_BURST=14",
	"HOMESERVER_RATE_LIMITS_REGISTRATION_PER_SECOND=13.5",
	"HOMESERVER_RATE_LIMITS_REGISTRATION_BURST=15",
	"HOMESERVER_RATE_LIMITS_NAME_CHECKS_PER_SECOND=14.5",
	"HOMESERVER_RATE_LIMITS_NAME_CHECKS_BURST=16",
	"HOMESERVER_RATE_LIMITS_MAILS_PER_SECOND=15.5",
	"HOMESERVER_RATE_LIMITS_MAILS_BURST=17",
	"HOMESERVER_RATE_LIMITS_MAILS_TO_ADDRESS_PER_SECOND=16.5",
	"HOMESERVER_RATE_LIMITS_MAILS_TO_ADDRESS_BURST=18",
	"HOMESERVER_RATE_LIMITS_CODES_PER_SECOND=17.5",
	"HOMESERVER_RATE_LIMITS_CODES_BURST=19",
	"HOMESERVER_RATE_LIMITS_REPORTS_PER_SECOND=18.5",
	"HOMESERVER_RATE_LIMITS_REPORTS_BURST=40",
	"HOMESERVER_RATE_LIMITS_UPLOADS_PER_SECOND=19.5",
	"HOMESERVER_RATE_LIMITS_UPLOADS_BURST=21",
	"HOMESERVER_RATE_LIMITS_DOWNLOADS_PER_SECOND=20.5",
	"HOMESERVER_RATE_LIMITS_DOWNLOADS_BURST=22",
	"HOMESERVER_RATE_LIMITS_PREVIEWS_PER_SECOND=21.5",
	"HOMESERVER_RATE_LIMITS_PREVIEWS_BURST=23",
	"HOMESERVER_RATE_LIMITS_THUMBNAILS_PER_SECOND=22.5",
	"HOMESERVER_RATE_LIMITS_THUMBNAILS_BURST=24",
	"HOMESERVER_LOG_LEVEL=debug",
	"HOMESERVER_LOG_FORMAT=json", "HOMESERVER_LOG_REQUESTS=false",
	"HOMESERVER_METRICS_LISTEN=localhost:9000",
	"HOMESERVER_MEMORY_LIMIT=512MiB",
	"HOMESERVER_SHUTDOWN_DELAY=10",
	"HOMESERVER_APP_SERVICE_FILES=/etc/irc.yaml,slack.yaml",
	"HOMESERVER_LIMITS_REQUEST_BODY=2MiB",
	"HOMESERVER_LIMITS_REQUEST_MEMORY=8MiB",
	"HOMESERVER_LIMITS_REQUESTS=11",
	"HOMESERVER_LIMITS_POLLS=12",
	"HOMESERVER_LIMITS_POLLS_PER_USER=13",
	"HOMESERVER_LIMITS_TRANSFERS=14",
	"HOMESERVER_LIMITS_CONNECTIONS=15",
	"HOMESERVER_LIMITS_CONNECTIONS_PER_ADDRESS=16",
	"HOMESERVER_LIMITS_LIVE_WINDOW=3MiB",
	"HOMESERVER_LIMITS_WRITE_QUEUE=4MiB",
	"HOMESERVER_LIMITS_FREE_DISK=9MiB",
	"HOMESERVER_MEDIA_STORAGE=s3",
	"HOMESERVER_MEDIA_FOLDER=/srv/media",
	"HOMESERVER_LOGIN_PASSWORD=false",
	"HOMESERVER_LOGIN_ACCESS_TOKEN_LIFETIME=900",
	"HOMESERVER_OAUTH_ENABLED=true",
	"HOMESERVER_OAUTH_ACCESS_TOKEN_LIFETIME=600",
	"HOMESERVER_MEDIA_S3_ENDPOINT=https://s3.example.org:9000",
	"HOMESERVER_MEDIA_S3_REGION=eu-west-3",
	"HOMESERVER_MEDIA_S3_BUCKET=chat-files",
	"HOMESERVER_MEDIA_S3_PREFIX=one/two/",
	"HOMESERVER_MEDIA_S3_PATH_STYLE=false",
	"HOMESERVER_MEDIA_S3_ACCESS_KEY=someone",
	"HOMESERVER_MEDIA_S3_SECRET_KEY=hunter2",
	"HOMESERVER_MEDIA_MAX_UPLOAD=5MiB",
	"HOMESERVER_MEDIA_USER_QUOTA=6MiB",
	"HOMESERVER_MEDIA_OPEN=false",
	"HOMESERVER_MEDIA_THUMBNAIL_MEMORY=7MiB",
	"HOMESERVER_URL_PREVIEWS_ENABLED=true",
	"HOMESERVER_OUTGOING_ALLOWED_RANGES=192.168.1.0/24,::1",
	"HOMESERVER_TURN_URIS=turn:turn.example.org?transport=udp,turns:turn.example.org",
	"HOMESERVER_TURN_SHARED_SECRET=hunter2",
	"HOMESERVER_TURN_USERNAME=matrix",
	"HOMESERVER_TURN_PASSWORD=hunter2",
	"HOMESERVER_TURN_TTL=3600",
	"HOMESERVER_TURN_ALLOW_GUESTS=false",
	"HOMESERVER_POLICY_LISTS_ROOMS=#bans:example.org,!abc:example.org",
	"HOMESERVER_POLICY_LISTS_DRY_RUN=true",
	"HOMESERVER_POLICY_SERVER_ED25519_KEY=6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s",
	"HOMESERVER_CALLS_LIVEKIT_URLS=https://livekit.example.org/jwt,http://localhost:8090",
	"HOMESERVER_LDAP_URL=ldap://ldap.example.org",
	"HOMESERVER_LDAP_START_TLS=true",
	"HOMESERVER_LDAP_CA_FILE=/etc/ldap.pem",
	"HOMESERVER_LDAP_BIND_DN=cn=matrix",
	"HOMESERVER_LDAP_BIND_PASSWORD=hunter2",
	"HOMESERVER_LDAP_BASE_DN=dc=example",
	"HOMESERVER_LDAP_FILTER=(sAMAccountName={name})",
	"HOMESERVER_LDAP_ID=objectGUID",
	"HOMESERVER_LDAP_USER_NAME={sAMAccountName}",
	"HOMESERVER_LDAP_DISPLAY_NAME={displayName}",
	"HOMESERVER_LDAP_LINK_ONLY=true",
	"HOMESERVER_SSO_TRUSTED_CLIENTS=app.example.org",
	"HOMESERVER_SUPPORT_PAGE=https://example.org/help?from=matrix",
	"HOMESERVER_SUPPORT_ADMINS=@admin:example.org,admin@example.org",
	"HOMESERVER_SUPPORT_SECURITY=security@example.org",
	"HOMESERVER_TRUSTED_PROXIES=127.0.0.1,10.1.2.3/8,fd00::/8",
}

func TestEnvironmentSetsWhatTheFileSets(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Sources{Environ: everyVariable})
	if err != nil {
		t.Fatal(err)
	}
	want := load(t, everything)
	for _, key := range Keys() {
		if key.Env == "" { // a list of sections
			key.field(want).SetZero()
		}
	}
	if diff := cmp.Diff(want, cfg, equal); diff != "" {
		t.Error(diff)
	}
	all := strings.Join(everyVariable, "\n")
	for _, key := range Keys() {
		if key.Env != "" && !strings.Contains(all, key.Env+"=") {
			t.Errorf("%s is not tested", key.Env)
		}
	}
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	t.Parallel()
	file := write(t, "server_name: file\nlog: {level: error}\npassword: {min_length: 5}\n")
	cfg, err := Load(Sources{
		File:    file,
		Environ: []string{"HOMESERVER_SERVER_NAME=env", "HOMESERVER_LOG_LEVEL=warn"},
		Flags:   []Flag{{"--server-name", "server_name", "flag"}, {"--listen", "listen", "[::1]:0,tls://127.0.0.1:0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.ServerName, want.Log.Level, want.Password.MinLength = "flag", "warn", 5
	want.Listen = []Listener{{"[::1]:0", false}, {"127.0.0.1:0", true}}
	if diff := cmp.Diff(want, cfg, equal); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsCanStandInFiles(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, "", "HOMESERVER_REGISTRATION_SHARED_SECRET_FILE="+secret)
	if string(cfg.Registration.SharedSecret) != "s3cret " {
		t.Errorf("got %q, want the content without the end of line", string(cfg.Registration.SharedSecret))
	}
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{[]string{"HOMESERVER_DATABASE_URL_FILE=/does/not/exist"}, "/does/not/exist"},
		{[]string{"HOMESERVER_REGISTRATION_SHARED_SECRET_FILE=" + secret, "HOMESERVER_REGISTRATION_SHARED_SECRET=x"}, "is also set by"},
		{[]string{"HOMESERVER_SERVER_NAME_FILE=" + secret}, "is not known"},
	} {
		if _, err := Load(Sources{Environ: test.environ}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want an error with %q", test.environ, err, test.want)
		}
	}
}

func TestVariablesOfOthersAreIgnored(t *testing.T) {
	t.Parallel()
	load(t, "", "HOMESERVER_SERVICE_HOST=10.0.0.1", "HOMESERVER_SERVICE_PORT_HTTP=8008",
		"HOMESERVER_PORT=tcp://10.0.0.1:8008", "HOMESERVER_PORT_8008_TCP_ADDR=10.0.0.1",
		"HOMESERVER_TEST_DATABASE_URL=postgres://localhost/")
}

func TestFileIsLookedForInItsPlaces(t *testing.T) {
	t.Parallel()
	flag, variable, standard := write(t, "server_name: flag.org"), write(t, "server_name: variable.org"), write(t, "server_name: standard.org")
	environ := []string{FileVariable + "=" + variable}
	for name, test := range map[string]struct {
		src        Sources
		file, want string
	}{
		"by a flag":       {Sources{File: flag, Environ: environ, DefaultFile: standard}, flag, "flag.org"},
		"by a variable":   {Sources{Environ: environ, DefaultFile: standard}, variable, "variable.org"},
		"empty variable":  {Sources{Environ: []string{FileVariable + "="}, DefaultFile: standard}, standard, "standard.org"},
		"by default":      {Sources{DefaultFile: standard}, standard, "standard.org"},
		"nowhere":         {Sources{DefaultFile: standard + ".none"}, "", "localhost"},
		"none are wanted": {Sources{Environ: environ, DefaultFile: standard, NoFile: true}, "", "localhost"},
	} {
		cfg, err := Load(test.src)
		if err != nil || cfg.File != test.file || cfg.ServerName != test.want {
			t.Errorf("%s: got %+v, %v", name, cfg, err)
		}
	}
	for _, src := range []Sources{{File: flag + ".none"}, {Environ: []string{FileVariable + "=" + flag + ".none"}}} {
		if _, err := Load(src); err == nil || !strings.Contains(err.Error(), flag+".none") {
			t.Errorf("a file that is named and missing: %v", err)
		}
	}
}
