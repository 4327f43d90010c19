package registration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// example is the registration in the specification, with what bridges add.
const example = `id: "IRC Bridge"
url: "http://127.0.0.1:1234/"
as_token: "30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"
hs_token: "312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e"
sender_localpart: "_irc_bot"
namespaces:
  users:
    - exclusive: true
      regex: "@_irc_bridge_.*"
  aliases:
    - exclusive: false
      regex: "#_irc_bridge_.*"
  rooms: []
rate_limited: false
protocols: [irc, 42]
de.sorunome.msc2409.push_ephemeral: true
org.matrix.msc3202: true
io.element.msc4190: true
com.example.unknown: {a: [1]}
`

func parse(t *testing.T, content string) *Registration {
	t.Helper()
	r, err := Parse("irc.yaml", []byte(content), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	t.Parallel()
	r := parse(t, example)
	if r.ID != "IRC Bridge" || r.URL != "http://127.0.0.1:1234" || r.Sender != "@_irc_bot:example.org" || r.RateLimited ||
		!r.ReceiveEphemeral || !r.DeviceChanges || fmt.Sprint(r.Protocols) != "[irc 42]" ||
		!strings.HasPrefix(string(r.ASToken), "30c0") || !strings.HasPrefix(string(r.HSToken), "312d") {
		t.Errorf("got %+v", r)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", r, *r, r.ASToken, r.HSToken); strings.Contains(text, "30c0") || strings.Contains(text, "312d") {
		t.Errorf("a token is printed: %s", text)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"null": "url: null", "empty": `url: ""`, "nothing": "url:"} {
		r := parse(t, "id: a\n"+url+"\nas_token: b\nhs_token: c\nsender_localpart: d\nnamespaces: {}\n")
		if r.URL != "" || !r.RateLimited || r.ReceiveEphemeral || r.DeviceChanges || r.Protocols != nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	for _, url := range []string{"https://bridge.example.org/path", "http://[::1]:5", "unix:///run/bridge.sock"} {
		if got := parse(t, strings.Replace(example, "http://127.0.0.1:1234/", url, 1)).URL; got != url {
			t.Errorf("%s: got %s", url, got)
		}
	}
}

func TestMistakesAreReportedWithTheirLine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ old, with, want string }{
		"no id":              {`id: "IRC Bridge"`, "", "irc.yaml:2: id: is missing"},
		"empty id":           {`"IRC Bridge"`, `""`, "irc.yaml:1: id: must not be empty"},
		"null id":            {`"IRC Bridge"`, `null`, "id: is missing"},
		"id a list":          {`"IRC Bridge"`, `[a]`, "irc.yaml:1: id: must be a single plain value"},
		"long id":            {"IRC Bridge", strings.Repeat("x", 256), "irc.yaml:1: id: must be text of at most 255 bytes"},
		"no url":             {`url: "http://127.0.0.1:1234/"`, "", "url: is missing: write null"},
		"url of a file":      {"http://127.0.0.1:1234/", "file:///etc", "irc.yaml:2: url: must be an http"},
		"url with a user":    {"http://127.0.0.1", "http://a:b@127.0.0.1", "irc.yaml:2: url: must be an http"},
		"url with a query":   {"1234/", "1234/?a", "irc.yaml:2: url: must be an http"},
		"url without a host": {"http://127.0.0.1:1234/", "http:///x", "irc.yaml:2: url: must be an http"},
		"websocket":          {"http://127.0.0.1:1234/", "websocket", "irc.yaml:2: url: must be an http"},
		"as_token a map":     {`"30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"`, "{}", "irc.yaml:3: as_token: must be a single"},
		"as_token spaced":    {"30c05", "30 c05", "irc.yaml:3: as_token: must be of printable ASCII"},
		"no hs_token":        {`hs_token: "312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e"`, "", "hs_token: is missing"},
		"sender with @":      {`"_irc_bot"`, `"@bot:example.org"`, "irc.yaml:5: sender_localpart: must be the part"},
		"sender not ASCII":   {`"_irc_bot"`, `"bötchen"`, "irc.yaml:5: sender_localpart: must be the part"},
		"no namespaces":      {"namespaces:", "other:", "namespaces: is missing"},
		"users a map":        {"  rooms: []", "  rooms: {}", "irc.yaml:13: rooms: must be a list"},
		"no regex":           {`      regex: "@_irc_bridge_.*"`, "", "irc.yaml:8: namespaces.users: regex is missing"},
		"no exclusive":       {"    - exclusive: false\n      regex", "    - regex", "irc.yaml:11: namespaces.aliases: exclusive is missing"},
		"exclusive no bool":  {"exclusive: true", "exclusive: yes please", "irc.yaml:8: exclusive: must be true or false"},
		"look-ahead":         {"@_irc_bridge_.*", "@(?!bot).*", "irc.yaml:9: namespaces.users.regex: look-aheads and look-behinds"},
		"back-reference":     {"@_irc_bridge_.*", `@(a)\\1`, `irc.yaml:9: namespaces.users.regex: has the escape \1`},
		"open bracket":       {"@_irc_bridge_.*", "@(a", "irc.yaml:9: namespaces.users.regex: is no regular expression"},
		"closing the group":  {"@_irc_bridge_.*", "@a)|(?:.*", "irc.yaml:9: namespaces.users.regex: is no regular expression"},
		"long regex":         {"@_irc_bridge_.*", strings.Repeat("x", maxRegex+1), "irc.yaml:9: namespaces.users.regex: must be text of at most"},
		"rate_limited text":  {"rate_limited: false", "rate_limited: perhaps", "irc.yaml:14: rate_limited: must be true or false"},
		"protocols a text":   {"protocols: [irc, 42]", "protocols: irc", "irc.yaml:15: protocols: must be a list"},
		"protocol a map":     {"protocols: [irc, 42]", "protocols: [{}]", "irc.yaml:15: protocols: must be a single plain value"},
		"ephemeral a number": {"push_ephemeral: true", "push_ephemeral: 1", "push_ephemeral: must be true or false"},
		"anchor":             {`id: "IRC Bridge"`, `id: &a "IRC Bridge"`, "irc.yaml:1: id: anchors"},
	}
	for name, test := range tests {
		content := strings.Replace(example, test.old, test.with, 1)
		if content == example {
			t.Errorf("%s changes nothing", name)
		}
		_, err := Parse("irc.yaml", []byte(content), "example.org")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "30c05a") || strings.Contains(err.Error(), "312df5")) {
			t.Errorf("%s: the error has a token: %v", name, err)
		}
	}
	for name, content := range map[string]string{"empty": "", "a list": "[]", "no YAML": "a: [", "only a comment": "# nothing"} {
		if _, err := Parse("irc.yaml", []byte(content), "example.org"); err == nil || !strings.Contains(err.Error(), "irc.yaml") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := Parse("irc.yaml", []byte("url: 3\nprotocols: x\n"), "example.org")
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 7 {
		t.Errorf("%d mistakes are reported: %v", n, err)
	}
}

func TestNamespacesMatchFromTheBeginning(t *testing.T) {
	t.Parallel()
	r := parse(t, strings.Replace(example, `      regex: "@_irc_bridge_.*"`, `      regex: "@irc_|@(?i:bot):example\\.org$"
    - exclusive: false
      regex: "@shared"`, 1))
	for userID, want := range map[string][2]bool{
		"@irc_a:example.org":     {true, true},
		"@irc_:example.org":      {true, true},
		"@BOT:example.org":       {true, true},
		"@_irc_bot:example.org":  {true, true}, // the sender
		"@shared:example.org":    {true, false},
		"@x@irc_a:example.org":   {},
		"@irc_a:elsewhere.org":   {},
		"@irc_a:example.org:1":   {},
		"@bot:example.org.evil":  {},
		"#irc_a:example.org":     {},
		"@irc_a":                 {},
		"":                       {},
		"@irc_b:xample.org":      {},
		"@somebody:example.org":  {},
		"@_irc_bot2:example.org": {},
	} {
		if got := [2]bool{r.OwnsUser(userID), r.OwnsUserAlone(userID)}; got != want {
			t.Errorf("%s: got %v, want %v", userID, got, want)
		}
	}
	if !r.OwnsAlias("#_irc_bridge_x:example.org") || r.OwnsAliasAlone("#_irc_bridge_x:example.org") || r.OwnsAlias("#_irc_bridge_x:else.org") {
		t.Error("aliases are wrong")
	}
}

// write writes registrations into files of their own.
func write(t *testing.T, contents ...string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i, content := range contents {
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestServicesMustGoTogether(t *testing.T) {
	t.Parallel()
	second := strings.NewReplacer("IRC Bridge", "other", "30c05", "aaaaa", "_irc_bot", "_other_bot", "@_irc_bridge_", "@_other_").Replace(example)
	list, err := Load(write(t, example, second), "example.org")
	if err != nil || len(list) != 2 || list[1].ID != "other" {
		t.Fatalf("got %v, %v", list, err)
	}
	for name, test := range map[string]struct{ old, with, want string }{
		"ID":        {"id: \"other\"", "id: \"IRC Bridge\"", "1.yaml:1: id: is that of the service in"},
		"as_token":  {"aaaaa", "30c05", "1.yaml:3: as_token: is that of the service in"},
		"sender":    {"_other_bot", "_irc_bot", "1.yaml:5: sender_localpart: is that of"},
		"namespace": {"@_other_", "@_irc_bridge_", `users "@_irc_bridge_.*" is exclusive to the service in`},
		"sender in": {`"_other_bot"`, `"_irc_bridge_x"`, "sender_localpart: is in an exclusive namespace"},
		"takes in":  {"@_other_.*", "@.*", "an exclusive one has the sender of the service in"},
	} {
		_, err := Load(write(t, example, strings.Replace(second, test.old, test.with, 1)), "example.org")
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "30c05ae") {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	if _, err := Load([]string{"/nowhere/a.yaml"}, "example.org"); err == nil {
		t.Error("a file that is not there is no mistake")
	}
	if _, err := Load(write(t, strings.Repeat("#", maxFileBytes+1)), "example.org"); err == nil {
		t.Error("a huge file is read")
	}
}

func TestWhoMayMakeWhat(t *testing.T) {
	t.Parallel()
	list := List{
		parse(t, strings.Replace(example, "exclusive: false", "exclusive: true", 1)),
		parse(t, strings.NewReplacer("IRC Bridge", "open", "_irc_bot", "open_bot", "exclusive: true", "exclusive: false", "bridge_", "").Replace(example)),
	}
	const exclusive = matrix.Exclusive
	for _, test := range []struct {
		service, userID string
		want            matrix.Code
	}{
		{"", "@_irc_bridge_a:example.org", exclusive},
		{"IRC Bridge", "@_irc_bridge_a:example.org", ""},
		{"open", "@_irc_bridge_a:example.org", exclusive}, // it is in its namespace, and another's alone
		{"", "@_irc_a:example.org", ""},
		{"open", "@_irc_a:example.org", ""},
		{"IRC Bridge", "@_irc_a:example.org", exclusive},
		{"", "@open_bot:example.org", exclusive},
		{"", "@alice:example.org", ""},
		{"open", "@alice:example.org", exclusive},
	} {
		err := list.CheckUser(test.service, test.userID)
		if (err == nil) != (test.want == "") || err != nil && !matrix.IsCode(err, test.want) {
			t.Errorf("%q and %s: got %v, want %q", test.service, test.userID, err, test.want)
		}
	}
	if err := list.CheckAlias("", "#_irc_bridge_a:example.org"); !matrix.IsCode(err, exclusive) {
		t.Errorf("got %v", err)
	}
	if err := list.CheckAlias("IRC Bridge", "#_irc_bridge_a:example.org"); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("namespaces: {users: [{regex: 'a**', exclusive: 1}]}")
	f.Fuzz(func(_ *testing.T, content string) {
		r, err := Parse("f.yaml", []byte(content), "example.org")
		if err == nil {
			r.OwnsUser("@a:example.org")
		}
	})
}
