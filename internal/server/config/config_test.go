package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const example = "../../../config.example.yaml"

func TestExampleIsTheDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Sources{File: example})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), cfg, equal); diff != "" {
		t.Error(diff)
	}
}

func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	l := &loader{cfg: Default(), keys: Keys(), origins: map[string]string{}}
	l.readFile(example)
	for _, key := range l.keys {
		if _, ok := l.origins[key.Name]; !ok {
			t.Errorf("%s is missing", key.Name)
		}
	}
}

func TestExampleNamesVariablesThatExist(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`HOMESERVER_[A-Z_]+`).FindAllString(string(content), -1) {
		known := slices.ContainsFunc(Keys(), func(k Key) bool {
			return k.Env == name || k.Secret && k.Env+fileSuffix == name
		})
		if name != EnvPrefix && name != FileVariable && !known {
			t.Errorf("%s is no variable", name)
		}
	}
}

func TestKeysAndVariablesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range Keys() {
		if key.Name == "" || strings.HasSuffix(key.Name, ".") {
			t.Errorf("a field of %v has no yaml tag", reflect.TypeFor[Config]())
		}
		if key.Env != "" && seen[key.Env] || seen[key.Env+fileSuffix] || notOurs.MatchString(key.Env) {
			t.Errorf("%s is ambiguous", key.Env)
		}
		seen[key.Env] = true
	}
}

func TestRegistrationIsOpenOnlyOnLoopbackByDefault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environ []string
		want    bool
	}{
		{nil, true},
		{[]string{"HOMESERVER_LISTEN=127.0.0.1:1,[::1]:2,tls://127.1.2.3:3"}, true},
		{[]string{"HOMESERVER_SERVER_NAME=example.org"}, false},
		{[]string{"HOMESERVER_LISTEN=localhost:1,:2"}, false},
		{[]string{"HOMESERVER_LISTEN=0.0.0.0:1"}, false},
		{[]string{"HOMESERVER_LISTEN=[::]:1"}, false},
		{[]string{"HOMESERVER_LISTEN=myhost:1"}, false},
		{[]string{"HOMESERVER_REGISTRATION_ENABLED=false"}, false},
		{[]string{"HOMESERVER_REGISTRATION_ENABLED=auto"}, true},
		{[]string{"HOMESERVER_REGISTRATION_ENABLED=true", "HOMESERVER_SERVER_NAME=example.org", "HOMESERVER_LISTEN=:1"}, true},
	} {
		if got := load(t, "", test.environ...).RegistrationOpen(); got != test.want {
			t.Errorf("%v: got %v, want %v", test.environ, got, test.want)
		}
	}
}

func TestGuestsAreAllowedOnlyOnLoopbackByDefault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environ []string
		want    bool
	}{
		{nil, true},
		{[]string{"HOMESERVER_SERVER_NAME=example.org"}, false},
		{[]string{"HOMESERVER_SERVER_NAME=example.org", "HOMESERVER_REGISTRATION_ENABLED=true"}, false},
		{[]string{"HOMESERVER_REGISTRATION_ENABLED=false"}, false},
		{[]string{"HOMESERVER_REGISTRATION_ENABLED=false", "HOMESERVER_GUESTS_ENABLED=true"}, true},
		{[]string{"HOMESERVER_GUESTS_ENABLED=false"}, false},
		{[]string{"HOMESERVER_GUESTS_ENABLED=auto"}, true},
	} {
		if got := load(t, "", test.environ...).GuestsAllowed(); got != test.want {
			t.Errorf("%v: got %v, want %v", test.environ, got, test.want)
		}
	}
}

func TestTheTutorialStandsInFrontWhereTheNameIsLocalhost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{nil, FrontPageTutorial},
		{[]string{"HOMESERVER_SERVER_NAME=localhost:8448"}, FrontPageTutorial},
		{[]string{"HOMESERVER_SERVER_NAME=example.org"}, FrontPagePlain},
		{[]string{"HOMESERVER_SERVER_NAME=localhost.example.org"}, FrontPagePlain},
		{[]string{"HOMESERVER_SERVER_NAME=127.0.0.1"}, FrontPagePlain},
		{[]string{"HOMESERVER_FRONT_PAGE=auto"}, FrontPageTutorial},
		{[]string{"HOMESERVER_FRONT_PAGE=plain"}, FrontPagePlain},
		{[]string{"HOMESERVER_FRONT_PAGE=tutorial", "HOMESERVER_SERVER_NAME=example.org"}, FrontPageTutorial},
		{[]string{"HOMESERVER_FRONT_PAGE=https://app.example.org/"}, "https://app.example.org/"},
	} {
		if got := load(t, "", test.environ...).FrontPageShown(); got != test.want {
			t.Errorf("%v: got %v, want %v", test.environ, got, test.want)
		}
	}
}

func TestPrintMasksSecretsAndCanBeReadAgain(t *testing.T) {
	t.Parallel()
	cfg := load(t, strings.ReplaceAll(everything, `"012"`, "hunter2"))
	var out bytes.Buffer
	if err := cfg.Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") || strings.Count(out.String(), mask) != 10 {
		t.Errorf("secrets are not masked:\n%s", &out)
	}
	again := load(t, strings.Replace(out.String(), "url: \""+mask+"\"", "url: postgres://u:hunter2@db/homeserver", 1))
	cfg.Registration.SharedSecret, cfg.Email.Password, cfg.SMS.Authorization = mask, mask, mask
	cfg.SMS.URL = "https://sms.example.org/send?" + mask
	cfg.SSO.Providers[0].ClientSecret, cfg.LDAP.BindPassword = mask, mask
	cfg.Turn.SharedSecret, cfg.Turn.Password, cfg.Media.S3.SecretKey = mask, mask, mask
	if diff := cmp.Diff(cfg, again, equal); diff != "" {
		t.Errorf("%s\nprinted:\n%s", diff, &out)
	}
}

func TestSecretsInURLsAreMasked(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://sms.example.org/send": "https://sms.example.org/send",
		"":                             "",
		"https://us:hunter2@sms.example.org/send?key=hunter2#x": "https://" + mask + "@sms.example.org/send?" + mask + "#" + mask,
		"https://sms.example.org/send?key=hunter2":              "https://sms.example.org/send?" + mask,
		"https://[hunter2": mask,
	} {
		for _, got := range []string{fmt.Sprint(URL(given)), fmt.Sprintf("%q %x", URL(given), URL(given)), fmt.Sprintf("%v", SMS{URL: URL(given)})} {
			if !strings.Contains(got, want) || strings.Contains(got, "hunter2") || strings.Contains(got, "68756e") {
				t.Errorf("%s is shown as %s, want %s", given, got, want)
			}
		}
	}
	cfg := Default()
	cfg.SMS.URL = "https://sms.example.org/send?key=hunter2"
	var out bytes.Buffer
	if err := cfg.Print(&out); err != nil || strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), "https://sms.example.org/send?"+mask) {
		t.Errorf("printed, %v:\n%s", err, &out)
	}
}

func TestPrintOfTheDefaults(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Default().Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), mask) {
		t.Errorf("a secret that is not set is masked:\n%s", &out)
	}
	open := true
	want := Default()
	want.Registration.Enabled, want.Guests.Enabled = &open, &open
	budget := want.Budget()
	want.Memory.Limit, want.Limits.LiveWindow, want.Limits.WriteQueue = budget.Limit, budget.LiveWindow, budget.WriteQueue
	want.Limits.RequestMemory = budget.RequestMemory
	want.Media.ThumbnailMemory = budget.ThumbnailMemory
	if diff := cmp.Diff(want, load(t, out.String()), equal); diff != "" {
		t.Errorf("%s\nprinted:\n%s", diff, &out)
	}
}

func TestSecretHidesItself(t *testing.T) {
	t.Parallel()
	holder := struct{ S Secret }{"hunter2"}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "secret", holder.S, "holder", holder)
	}
	printed := string(encoded) + log.String() +
		fmt.Sprint(holder.S, holder) + fmt.Sprintf("%v %+v %#v %s %q %x %d", holder, holder, holder, holder.S, holder.S, holder.S, holder.S)
	if strings.Contains(printed, "hunter2") || strings.Contains(printed, "68756e") {
		t.Errorf("the secret shows: %s", printed)
	}
	if string(holder.S) != "hunter2" {
		t.Error("the secret cannot be used")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"0": 0, "1500": 1500, "7B": 7, "64KiB": 64 << 10, "3 MiB": 3 << 20, "2GiB": 2 << 30} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
		var again Size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%s: %s is read as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5MiB", "KiB", "9223372036854775807GiB", "1MB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestServerHostAndACMEHosts(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{
		"localhost": "localhost", "example.org": "example.org", "example.org:8448": "example.org",
		"192.0.2.1:1": "192.0.2.1", "[2001:db8::1]": "2001:db8::1", "[2001:db8::1]:8448": "2001:db8::1",
	} {
		cfg := Default()
		cfg.ServerName = name
		if got := cfg.ServerHost(); got != host {
			t.Errorf("%s: got %s, want %s", name, got, host)
		}
		if got := cfg.ACMEHosts(); !slices.Equal(got, []string{host}) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestListenerURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"localhost:8008":       "http://localhost:8008",
		"tls://localhost:8448": "https://localhost:8448",
		":8008":                "http://localhost:8008",
		"0.0.0.0:8008":         "http://localhost:8008",
		"tls://[::]:8448":      "https://localhost:8448",
		"192.0.2.1:80":         "http://192.0.2.1:80",
		"tls://[::1]:443":      "https://[::1]:443",
	} {
		var l Listener
		if err := l.UnmarshalText([]byte(text)); err != nil || l.URL() != want {
			t.Errorf("%s: got %s, %v, want %s", text, l.URL(), err, want)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if got := (Log{Level: name}).SlogLevel(); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// FuzzFile looks for files that make the reader panic, or that it accepts and cannot print again.
func FuzzFile(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("listen:\n  - tls: true\n? a\n: *b"))
	f.Fuzz(func(t *testing.T, content []byte) {
		l := &loader{cfg: Default(), keys: Keys(), origins: map[string]string{}}
		l.parse("config.yaml", content)
		l.cfg.validate()
		if len(l.problems) > 0 {
			return
		}
		if err := l.cfg.Print(new(bytes.Buffer)); err != nil {
			t.Error(err)
		}
	})
}
