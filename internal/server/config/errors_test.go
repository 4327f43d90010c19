package config

import (
	"strings"
	"testing"
)

// s3Example keeps files by an S3 service that is not named yet, and uploads that are too large for it.
const s3Example = `media:
  storage: s3
  max_upload: 6GiB
  s3:
    bucket: a-bucket
    access_key: a
    secret_key: b
`

func TestFileErrorsNameLineKeyAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, want string }{
		"mistyped key":               {"log:\n  levl: info", ":2: log.levl: is not a known key; did you mean log.level?"},
		"mistyped section":           {"registraton:\n  enabled: true", ":1: registraton: is not a known key; did you mean registration?"},
		"key without its section":    {"\nshared_secret: x", ":2: shared_secret: is not a known key; did you mean registration.shared_secret?"},
		"nothing like it":            {"password:\n  zzzzzzzzzzzzzz: 1", ":2: password.zzzzzzzzzzzzzz: is not a known key; known here are min_length"},
		"merge key":                  {"<<: {data_dir: x}", ":1: <<: anchors (&name), aliases (*name) and merge keys (<<) are not supported: write the value out at each place"},
		"duplicate key":              {"data_dir: a\nserver_name: b\ndata_dir: c", `:3: mapping key "data_dir" already defined at [1:1]`},
		"no YAML":                    {"listen: [", ":1: sequence end token ']' not found"},
		"no mapping":                 {"hello", ":1: configuration: must be a mapping of keys to values: app_service_files, calls, data_dir"},
		"section is a value":         {"log: debug", ":1: log: must be a mapping of keys to values: format, level"},
		"value is a section":         {"data_dir:\n  x: y", ":2: data_dir: must be a single plain value"},
		"alias":                      {"server_name: *d", ":1: server_name: anchors (&name), aliases (*name) and merge keys"},
		"anchor":                     {"data_dir: &d x", ":1: data_dir: anchors (&name), aliases"},
		"anchor of a section":        {"registration: &on {enabled: true}", ":1: registration: anchors (&name), aliases"},
		"alias of a section":         {"guests: *on", ":1: guests: anchors (&name), aliases"},
		"merge key of a section":     {"log:\n  <<: *x", ":2: log.<<: anchors (&name), aliases"},
		"alias in a list":            {"listen: [*a]", ":1: listen[0]: anchors (&name), aliases"},
		"anchor of everything":       {"&all\nserver_name: x", ":1: configuration: anchors (&name), aliases"},
		"tag":                        {"server_name: !!str x", ":1: server_name: tags (!name) are not supported"},
		"directive":                  {"%YAML 1.2\n---\nserver_name: x", ":1: configuration: directives (%NAME) are not supported"},
		"key by question mark":       {"? server_name\n: x", ":1: ?: keys after a question mark are not supported"},
		"tab":                        {"log:\n\tlevel: info", ":2: begins with a tab, which YAML does not allow: indent with spaces"},
		"tab after spaces":           {"log:\n  level: info\n  \tformat: text", ":3: begins with a tab"},
		"tab at the top":             {"\tserver_name: x", ":1: begins with a tab"},
		"tab before a list":          {"listen:\n\t- localhost:1", ":2: begins with a tab"},
		"UTF-16":                     {"\xff\xfes\x00", ": is encoded in UTF-16: save it as UTF-8"},
		"Latin-1":                    {"log:\n  level: caf\xe9", ":2: is not encoded in UTF-8"},
		"list is a value":            {"listen: localhost:1", ":1: listen: must be a list, one item on each line after a dash"},
		"list of wrong values":       {"trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/99", ":3: trusted_proxies[1]: must be an IP address or a network"},
		"two documents":              {"data_dir: x\n---\ndata_dir: y", ":3: ---: a configuration is one YAML document"},
		"no boolean":                 {"rate_limits:\n  enabled: yes", ":2: rate_limits.enabled: must be true or false"},
		"no tristate":                {"registration:\n  enabled: maybe", ":2: registration.enabled: must be true, false or auto"},
		"no whole number":            {"database:\n  max_connections: 2.5", ":2: database.max_connections: must be a whole number"},
		"too large for a number":     {"database:\n  max_connections: 99999999999", ":2: database.max_connections: must be a whole number"},
		"no number":                  {"rate_limits:\n  login:\n    per_second: often", ":3: rate_limits.login.per_second: must be a number"},
		"infinite":                   {"rate_limits:\n  login:\n    per_second: .inf", ":3: rate_limits.login.per_second: must be a single plain value"},
		"no choice":                  {"log:\n  format: xml", ":2: log.format: must be one of text, json"},
		"no size":                    {"limits:\n  request_body: 1 apple", ":2: limits.request_body: must be a number of bytes"},
		"URL as address":             {"listen:\n  - http://localhost:8008", ":2: listen[0]: must be host:port, or tls://host:port for TLS"},
		"unknown key of an item":     {"listen:\n  - adddress: localhost:1", ":2: listen[0].adddress: is not a known key; did you mean listen[0].address?"},
		"not a server name":          {"server_name: https://example.org", ":1: server_name: must be a host name"},
		"no data folder":             {`data_dir: ""`, ":1: data_dir: must be a folder"},
		"no listener":                {"listen: []", ":1: listen: must name at least one address"},
		"address without port":       {"listen:\n  - address: localhost", ":2: listen[0]: must be host:port"},
		"port out of range":          {"listen:\n  - localhost:70000", ":2: listen[0]: must be host:port"},
		"item without address":       {"listen:\n  - tls: true", ":2: listen[0]: must be host:port"},
		"listed twice":               {"listen:\n  - localhost:1\n  - tls://localhost:1", ":3: listen[1]: is listed twice"},
		"base URL":                   {"public_base_url: example.org", ":1: public_base_url: must be an http or https URL"},
		"base URL with query":        {"public_base_url: https://a/?b", ":1: public_base_url: must be an http or https URL"},
		"front page":                 {"front_page: Tutorial", ":1: front_page: must be auto, tutorial, plain, or the http or https URL of another page, such as https://app.example.org"},
		"no front page":              {`front_page: ""`, ":1: front_page: must be auto, tutorial, plain, or the http"},
		"front page as a path":       {"front_page: /chat", ":1: front_page: must be auto, tutorial, plain, or the http"},
		"front page as a script":     {"front_page: javascript:alert(1)", ":1: front_page: must be auto, tutorial, plain, or the http"},
		"front page with password":   {"front_page: https://us:er@example.org", ":1: front_page: must be auto, tutorial, plain, or the http"},
		"front page of a list":       {"front_page: [plain]", ":1: front_page: must be a single plain value"},
		"front page in a circle":     {"public_base_url: https://a.org\nfront_page: https://a.org/", ":2: front_page: leads back to this server, whose public_base_url it is"},
		"certificate without key":    {"tls:\n  certificate: x", ":2: tls.key: must be set together with tls.certificate"},
		"key without certificate":    {"tls:\n  key: x", ":2: tls.certificate: must be set together with tls.key"},
		"ACME for localhost":         {"tls:\n  acme:\n    enabled: true", ":3: tls.acme.hosts: must be names that the whole internet can look up; the default is the server name, localhost"},
		"ACME for an address":        {"tls:\n  acme: {enabled: true, hosts: [192.0.2.1]}", ":2: tls.acme.hosts: must be names"},
		"ACME and files":             {"server_name: a.org\ntls:\n  certificate: x\n  key: y\n  acme: {enabled: true}", ":5: tls.acme.enabled: cannot be used together with tls.certificate"},
		"ACME directory":             {"tls:\n  acme:\n    directory: letsencrypt", ":3: tls.acme.directory: must be the URL"},
		"database URL":               {"database:\n  url: mysql://x", ":2: database.url: must be a URL such as postgres://"},
		"connections":                {"database:\n  max_connections: 1", ":2: database.max_connections: must be from 2 to 1000"},
		"password length":            {"password:\n  min_length: -1", ":2: password.min_length: must be from 0 to 128"},
		"next link host":             {"threepids:\n  next_link_hosts: [https://a]", ":2: threepids.next_link_hosts[0]: must be a host name"},
		"identity server":            {"threepids:\n  identity_servers: [a/b]", ":2: threepids.identity_servers[0]: must be a host name or an http or https URL"},
		"providers without base URL": {"sso:\n  providers:\n    - {id: a, name: A, issuer: 'https://a', client_id: a}", ":3: sso.providers: needs public_base_url, to which providers send browsers back"},
		"ID of a provider":           {"public_base_url: http://a\nsso:\n  providers:\n    - {id: a b, name: A, issuer: 'https://a', client_id: a}", ":4: sso.providers[0].id: must be letters, digits and . _ ~ -, such as company"},
		"two of one ID":              {"public_base_url: http://a\nsso:\n  providers:\n    - {id: a, name: A, issuer: 'https://a', client_id: a}\n    - {id: a, name: A, issuer: 'https://a', client_id: a}", ":5: sso.providers[1].id: is there twice"},
		"provider without a name":    {"public_base_url: http://a\nsso:\n  providers:\n    - {id: a, issuer: 'https://a', client_id: a}", ":4: sso.providers[0].name: must be what people read on the button"},
		"issuer":                     {"public_base_url: http://a\nsso:\n  providers:\n    - {id: a, name: A, issuer: a, client_id: a}", ":4: sso.providers[0].issuer: must be an http or https URL, such as https://id.example.org/realms/all"},
		"trusted client":             {"sso:\n  trusted_clients: ['https://a']", ":2: sso.trusted_clients[0]: must be a host name, such as app.example.org"},
		"directory":                  {"ldap:\n  url: http://a\n  base_dn: dc=a", ":2: ldap.url: must be an ldaps or ldap URL, such as ldaps://ldap.example.org"},
		"directory without a base":   {"ldap:\n  url: ldaps://a", ":2: ldap.base_dn: must be the entry below which people are, such as ou=people,dc=example,dc=org"},
		"directory with half a name": {"ldap:\n  url: ldaps://a\n  base_dn: dc=a\n  bind_dn: cn=a", ":2: ldap.bind_password: must be set together with ldap.bind_dn"},
		"filter of a directory":      {"ldap:\n  url: ldaps://a\n  base_dn: dc=a\n  filter: uid=a", ":4: ldap.filter: must be a filter with {name}, such as (uid={name})"},
		"key of a policy server":     {"policy_server:\n  ed25519_key: abc", ":2: policy_server.ed25519_key: must be a public key in unpadded Base64, 43 characters"},
		"mail without sender":        {"public_base_url: http://a\nemail:\n  host: a", ":3: email.from: must be an e-mail address"},
		"mail without base URL":      {"email:\n  host: a\n  from: a@b", ":2: email.host: needs public_base_url"},
		"mail user":                  {"email:\n  user: a", ":2: email.password: must be set together with email.user"},
		"mail port":                  {"email:\n  port: 70000", ":2: email.port: must be from 0 to 65535"},
		"mail protection":            {"email:\n  tls: maybe", ":2: email.tls: must be one of starttls, tls, none"},
		"mail links":                 {"email:\n  room_url: app.example.org", ":2: email.room_url: must be an http or https URL"},
		"gateway":                    {"public_base_url: http://a\nsms:\n  url: ftp://a", ":3: sms.url: must be an http or https URL"},
		"gateway without base URL":   {"sms:\n  url: http://a", ":2: sms.url: needs public_base_url"},
		"gateway body":               {"sms:\n  body: '{\"to\": \"{to}\"}'", ":2: sms.body: must be JSON with {to} and {text}"},
		"gateway body no JSON":       {"sms:\n  body: '{to}={text}'", ":2: sms.body: must be JSON with {to} and {text}"},
		"country":                    {"sms:\n  allowed_countries: [Germany]", ":2: sms.allowed_countries[0]: must be a code of ISO 3166-1"},
		"country of nobody":          {"sms:\n  allowed_countries: [UK]", ":2: sms.allowed_countries[0]: must be a code of ISO 3166-1"},
		"rate":                       {"rate_limits:\n  login:\n    per_second: 0", ":3: rate_limits.login.per_second: must be more than 0"},
		"pattern of names":           {"registration:\n  username_pattern: \"[\"", ":2: registration.username_pattern: must be a regular expression"},
		"reserved name":              {"registration:\n  reserved_names: [\"a b\"]", ":2: registration.reserved_names[0]: must be a user name"},
		"mail that is not sent":      {"registration:\n  require_email: true", ":2: registration.require_email: needs email.host"},
		"burst":                      {"rate_limits:\n  registration:\n    burst: 0", ":3: rate_limits.registration.burst: must be 1 or more"},
		"no requests at all":         {"limits:\n  requests: 0", ":2: limits.requests: must be from 1 to"},
		"too many polls":             {"limits:\n  polls_per_user: 10000001", ":2: limits.polls_per_user: must be from 1 to 10000000"},
		"metrics address":            {"metrics:\n  listen: 9000", ":2: metrics.listen: must be host:port"},
		"window too small":           {"limits:\n  live_window: 1KiB", ":2: limits.live_window: must be from 1MiB to 1GiB, or 0"},
		"queue too large":            {"limits:\n  write_queue: 2GiB", ":2: limits.write_queue: must be from 1MiB to 1GiB"},
		"memory":                     {"memory:\n  limit: 64MiB", ":2: memory.limit: must be from 128MiB to 1024GiB, or 0"},
		"shutdown delay":             {"shutdown_delay: 301", ":1: shutdown_delay: must be from 0 to 300 seconds"},
		"no upload":                  {"media:\n  max_upload: 0", ":2: media.max_upload: must be from 1 to 1024GiB"},
		"quota below one upload":     {"media:\n  user_quota: 1MiB", ":2: media.user_quota: must be 0 for none, or media.max_upload at least"},
		"no storage":                 {"media:\n  storage: tape", ":2: media.storage: must be one of folder, s3"},
		"no S3 service":              {"media:\n  storage: s3", ":2: media.s3.endpoint: must be an http or https URL without a path"},
		"S3 service with a path":     {s3Example + "    endpoint: https://a/b", ":8: media.s3.endpoint: must be an http or https URL without a path"},
		"no region":                  {s3Example + "    endpoint: https://a\n    region: \"\"", ":9: media.s3.region: must be"},
		"no bucket":                  {"media:\n  storage: s3\n  s3: {endpoint: http://a, access_key: a, secret_key: b}", ":3: media.s3.bucket: must be the name of a bucket"},
		"prefix without a slash":     {s3Example + "    endpoint: https://a\n    prefix: a", ":9: media.s3.prefix: must be empty, or end with a slash"},
		"no S3 secret":               {"media:\n  storage: s3\n  s3: {endpoint: http://a, access_key: a, bucket: abc}", ":3: media.s3.secret_key: must be set"},
		"upload too big for S3":      {s3Example + "    endpoint: https://a", ":3: media.max_upload: must be 5GiB at most with the storage s3"},
		"no memory for thumbnails":   {"media:\n  thumbnail_memory: 1", ":2: media.thumbnail_memory: must be from 1MiB to 1GiB"},
		"allowed range":              {"outgoing:\n  allowed_ranges: [intranet]", ":2: outgoing.allowed_ranges[0]: must be"},
		"no TURN server":             {"turn:\n  uris: [stun:x]\n  shared_secret: x", ":2: turn.uris[0]: must be the URI of a TURN server"},
		"TURN without a secret":      {"turn:\n  uris: [turn:x]\n  username: x", ":2: turn.shared_secret: must be set, or turn.username"},
		"no LiveKit service":         {"calls:\n  livekit_urls: [livekit.example.org]", ":2: calls.livekit_urls[0]: must be an http or https URL"},
		"LiveKit with a query":       {"calls:\n  livekit_urls: [https://x/?a=1]", ":2: calls.livekit_urls[0]: must be an http or https URL"},
		"a LiveKit service twice":    {"calls:\n  livekit_urls: [https://x, https://x]", ":2: calls.livekit_urls[1]: is listed twice"},
		"many LiveKit services":      {"calls:\n  livekit_urls: [https://1, https://2, https://3, https://4, https://5, https://6, https://7, https://8, https://9, https://0, https://a]", ":2: calls.livekit_urls: must be 10 at most"},
		"no page":                    {"support:\n  page: help", ":2: support.page: must be an http or https URL"},
		"no contact":                 {"support:\n  admins: [admin]", ":2: support.admins[0]: must be a user ID"},
		"no user":                    {"support:\n  security: [\"@admin\"]", ":2: support.security[0]: must be a user ID"},
		"contact with a name":        {"support:\n  security: [\"Me <me@example.org>\"]", ":2: support.security[0]: must be a user ID"},
		"short TURN credentials":     {"turn:\n  ttl: 0", ":2: turn.ttl: must be 60 seconds or more"},
		"body smaller than events":   {"limits:\n  request_body: 64KiB", ":2: limits.request_body: must be at least 128KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, test.content)
			_, err := Load(Sources{File: path})
			if err == nil {
				t.Fatal("no error")
			}
			if want := path + test.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s…", err, want)
			}
		})
	}
}

func TestEnvironmentAndFlagErrorsNameTheirOrigin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		src  Sources
		want string
	}{
		{Sources{Environ: []string{"HOMESERVER_SERVRE_NAME=x"}}, "environment variable HOMESERVER_SERVRE_NAME: is not known; did you mean HOMESERVER_SERVER_NAME?"},
		{Sources{Environ: []string{"HOMESERVER_XXXXXXXXXXXXXXXXXX=x"}}, "environment variable HOMESERVER_XXXXXXXXXXXXXXXXXX: is not known; `homeserver config check`"},
		{Sources{Environ: []string{"HOMESERVER_LISTEN=a:1,b"}}, "environment variable HOMESERVER_LISTEN: listen[1]: must be host:port"},
		{Sources{Environ: []string{"HOMESERVER_LISTEN=a:1,x://b"}}, "environment variable HOMESERVER_LISTEN: listen: each item, separated by commas, must be host:port"},
		{Sources{Environ: []string{"HOMESERVER_LOG_LEVEL=loud"}}, "environment variable HOMESERVER_LOG_LEVEL: log.level: must be one of debug, info, warn, error"},
		{Sources{Flags: []Flag{{"--server-name", "server_name", "a b"}}}, "flag --server-name: server_name: must be a host name"},
		{Sources{Flags: []Flag{{"--x", "x", ""}}}, "flag --x: x: is not a known key"},
		{Sources{File: "/does/not/exist"}, "read the configuration: open /does/not/exist"},
	} {
		_, err := Load(test.src)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got  %v\nwant %s…", err, test.want)
		}
	}
}

func TestOriginIsWhereTheValueCameFrom(t *testing.T) {
	t.Parallel()
	// The list in the file is good; the one that replaces it is not.
	_, err := Load(Sources{File: write(t, "listen: [localhost:1]"), Environ: []string{"HOMESERVER_LISTEN=nonsense"}})
	if want := "environment variable HOMESERVER_LISTEN: listen[0]: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load(Sources{
		File:    write(t, "a: 1\nlog:\n  level: x\n  b: 2\n"),
		Environ: []string{"HOMESERVER_C=3"},
	})
	if err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("got %v, want four lines", err)
	}
	_, err = Load(Sources{File: write(t, "server_name: a b\nlisten: []\npassword: {min_length: 1000}\n")})
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("got %v, want three lines", err)
	}
}

func TestErrorsNeverQuoteSecrets(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"database:\n  url: postgres://u:hunter2@[db/x\n",
		"database:\n  url: \"host=db password=hunter2 port=hunter2\"\n",
		"database:\n  url: postgres://u:hunter2@db\n bad: [",
		"registration:\n  shared_secret: [hunter2]\n",
	} {
		_, err := Load(Sources{File: write(t, content)})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", content, err)
		}
	}
}

// Editors of Windows begin files with a byte order mark, and end lines with two characters.
func TestFileOfWindowsHasAKeyThatNobodyKnows(t *testing.T) {
	t.Parallel()
	if cfg := load(t, "\xef\xbb\xbfserver_name: example.org\r\nlog:\r\n  level: warn\r\n"); cfg.ServerName != "example.org" || cfg.Log.Level != "warn" {
		t.Errorf("got %+v", cfg)
	}
}
