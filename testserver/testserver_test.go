package testserver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fake is a test that another one looks at.
type fake struct {
	*testing.T
	skipped, failed string
}

func (f *fake) Fatalf(format string, args ...any) {
	f.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *fake) Skipf(format string, args ...any) {
	f.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// attempt runs a test that may end early.
func attempt(t *testing.T, test func(testing.TB)) *fake {
	t.Helper()
	f := &fake{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(f)
	}()
	<-done
	return f
}

func TestServerHasWhatTheOptionsSay(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(seed, []byte("users: [{name: carol, devices: [{id: PHONE}]}]\nrooms: [{id: lobby, creator: carol, members: [alice]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Start(t, User("alice", "word:pass"), Admin("root", "wordpass"), Seed(seed), ServerName("example.org"))
	for name, want := range map[string]Account{
		"alice":              {UserID: "@alice:example.org", Password: "word:pass"},
		"@root:example.org":  {UserID: "@root:example.org", Password: "wordpass", Admin: true},
		"@carol:example.org": {UserID: "@carol:example.org", DeviceID: "PHONE"},
	} {
		got := s.User(name)
		if who := s.Call(got, "GET", "/account/whoami", nil); who["user_id"] != want.UserID || who["device_id"] != got.DeviceID {
			t.Errorf("the token of %s is that of %v", name, who)
		}
		if got.UserID != want.UserID || got.Admin != want.Admin || want.Password != "" && got.Password != want.Password ||
			want.DeviceID != "" && got.DeviceID != want.DeviceID {
			t.Errorf("%s is %+v", name, got)
		}
	}
	joined := s.Call(s.User("alice"), "GET", "/_matrix/client/v3/joined_rooms", nil)["joined_rooms"].([]any)
	if len(joined) != 1 || joined[0] != s.Room("lobby") {
		t.Errorf("alice is in %v, the lobby is %s", joined, s.Room("lobby"))
	}

	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(s.CAFile); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("the certificate: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	answer, err := client.Get(s.TLSURL + "/_matrix/client/versions")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was read
	if answer.StatusCode != http.StatusOK {
		t.Errorf("with TLS: %s", answer.Status)
	}
}

func TestFaultsMeetTheRequestsThatTheyPick(t *testing.T) {
	t.Parallel()
	s := Start(t, User("alice", "wordpass"), User("bob", "wordpass"))
	alice, bob := s.User("alice"), s.User("bob")
	const whoami = "/account/whoami"
	fault := s.Fail(Fault{Method: "GET", Route: whoami, UserID: alice.UserID, Skip: 1, Times: 1, Effect: Refuse(502, "M_UNKNOWN")})
	s.Call(alice, "GET", whoami, nil)
	s.Call(bob, "GET", whoami, nil)
	if hits := s.Hits(fault); hits != 0 {
		t.Errorf("it has met %d requests before its own", hits)
	}
	met := attempt(t, func(t testing.TB) { s.For(t).Call(alice, "GET", whoami, nil) })
	if !strings.Contains(met.failed, "502") || s.Hits(fault) != 1 {
		t.Errorf("the request was answered %q, hits %d", met.failed, s.Hits(fault))
	}
	s.Call(alice, "GET", whoami, nil)

	limit := s.Fail(Fault{Route: "*", Effect: RateLimit(1500 * time.Millisecond)})
	met = attempt(t, func(t testing.TB) { s.For(t).Call(bob, "GET", whoami, nil) })
	if !strings.Contains(met.failed, `"retry_after_ms":1500`) {
		t.Errorf("the request was answered %q", met.failed)
	}
	s.TakeBack(limit)
	s.Call(bob, "GET", whoami, nil)
	s.Fail(Fault{Effect: Refuse(500, "M_UNKNOWN")})
	s.TakeBackAll()
	s.Call(bob, "GET", whoami, nil)
	if met = attempt(t, func(t testing.TB) { s.For(t).Hits(limit) }); !strings.Contains(met.failed, "there is no fault") {
		t.Errorf("an unknown fault: %q", met.failed)
	}
	if met = attempt(t, func(t testing.TB) { s.For(t).Fail(Fault{Route: "/wohami"}) }); !strings.Contains(met.failed, "M_INVALID_PARAM") {
		t.Errorf("a misspelt route: %q", met.failed)
	}
}

// Each effect is one that the server knows.
func TestEffectsHappen(t *testing.T) {
	t.Parallel()
	s := Start(t, User("alice", "wordpass"))
	alice := s.User("alice")
	for name, test := range map[string]struct {
		effect Effect
		want   string // in what the client learns
	}{
		"truncate":    {Truncate(10), "unexpected EOF"},
		"soft logout": {SoftLogout(), `"soft_logout":true`},
		"repeat":      {RepeatSync(), ""},
		"stale":       {StaleSince(""), ""},
		"delay":       {Delay(time.Millisecond), ""},
	} {
		since := s.Call(alice, "GET", "/sync", nil)["next_batch"].(string)
		fault := s.Fail(Fault{Method: "GET", Route: "/sync", Times: 1, Effect: test.effect})
		met := attempt(t, func(t testing.TB) { s.For(t).Call(alice, "GET", "/sync?since="+since, nil) })
		if !strings.Contains(met.failed, test.want) || test.want == "" && met.failed != "" {
			t.Errorf("%s: the client has %q", name, met.failed)
		}
		if hits := s.Hits(fault); hits != 1 {
			t.Errorf("%s: it has met %d requests", name, hits)
		}
	}
	s.Fail(Fault{Route: "/createRoom", Times: 1, After: true, Effect: Drop()})
	if met := attempt(t, func(t testing.TB) { s.For(t).Call(alice, "POST", "/createRoom", map[string]any{}) }); !strings.Contains(met.failed, "EOF") {
		t.Errorf("the client has %q", met.failed)
	}
	if rooms := s.Call(alice, "GET", "/joined_rooms", nil)["joined_rooms"].([]any); len(rooms) != 1 {
		t.Errorf("after a lost answer there are the rooms %v", rooms)
	}
}

func TestRequestsAreWhatClientsHaveSent(t *testing.T) {
	t.Parallel()
	s := Start(t, User("alice", "wordpass"))
	alice := s.User("alice")
	put := Filter{Method: "PUT", Route: "/profile/{userId}/{keyName}"}
	if got := s.Requests(put); len(got) != 0 {
		t.Errorf("there are already %+v", got)
	}
	s.Call(alice, "PUT", "/profile/"+alice.UserID+"/displayname", map[string]string{"displayname": "Alice"})
	got := s.WaitForRequests(put, 1)
	if len(got) != 1 || got[0].UserID != alice.UserID || got[0].DeviceID != alice.DeviceID || got[0].Status != 200 ||
		string(got[0].Body) != `{"displayname":"Alice"}` || got[0].Path != "/_matrix/client/v3/profile/@alice:localhost/displayname" {
		t.Errorf("got %+v", got)
	}
	put.Since = got[0].N
	if later := s.Requests(put); len(later) != 0 {
		t.Errorf("after it there are %+v", later)
	}
	s.Forget()
	if left := s.Requests(Filter{}); len(left) != 0 {
		t.Errorf("there are still %+v", left)
	}
}

func TestServerIsSetBackAndItsClockAndLimitsMove(t *testing.T) {
	t.Parallel()
	s := Start(t, User("alice", "wordpass"))
	alice := s.User("alice")
	room := s.Call(alice, "POST", "/createRoom", map[string]any{})["room_id"].(string)
	s.Advance(48 * time.Hour)
	sent := s.Call(alice, "PUT", "/rooms/"+room+"/send/m.room.message/1", map[string]any{"msgtype": "m.text", "body": "later"})["event_id"].(string)
	at := s.Call(alice, "GET", "/rooms/"+room+"/event/"+sent, nil)["origin_server_ts"].(float64)
	if ahead := time.Until(time.UnixMilli(int64(at))); ahead < 47*time.Hour {
		t.Errorf("the event is only %s ahead", ahead)
	}
	s.Reset()
	if rooms := s.Call(alice, "GET", "/joined_rooms", nil)["joined_rooms"].([]any); len(rooms) != 0 {
		t.Errorf("there are still the rooms %v", rooms)
	}
	s.LimitRates(true)
	limited := attempt(t, func(t testing.TB) {
		for range 1000 {
			s.For(t).Call(Account{}, "POST", "/login", map[string]any{
				"type": "m.login.password", "identifier": map[string]any{"type": "m.id.user", "user": "alice"}, "password": "wordpass",
			})
		}
	})
	if !strings.Contains(limited.failed, "M_LIMIT_EXCEEDED") {
		t.Errorf("1000 logins in a row: %q", limited.failed)
	}
	s.LimitRates(false)
	s.Call(alice, "GET", "/account/whoami", nil)
}

func TestServerEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("test", func(t *testing.T) { url = Start(t).BaseURL })
	if answer, err := http.Get(url + "/_matrix/client/versions"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("it still answers: %s", answer.Status)
	}
}

func TestWrongUseEndsTheTestWithTheReason(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]func(testing.TB){
		"flag provided but not defined: -nonsense": func(t testing.TB) { Start(t, Flags("--nonsense")) },
		"the program homeserver: exec: ":           func(t testing.TB) { Start(t, Program("no-such-program")) },
		"not started with a user @bob:":            func(t testing.TB) { (&Server{}).For(t).User("bob") },
		"there is no room lobby":                   func(t testing.TB) { (&Server{}).For(t).Room("lobby") },
	} {
		if got := attempt(t, test); !strings.Contains(got.failed, want) {
			t.Errorf("want %q, got %q", want, got.failed)
		}
	}
}

func TestWhereSomethingIsMissingTheTestIsSkippedButOnBuildServers(t *testing.T) {
	dir := t.TempDir()
	without := filepath.Join(dir, "without-postgresql")
	const hint = "homeserver: no PostgreSQL 14 or newer is installed: apt install postgresql"
	if err := os.WriteFile(without, []byte("#!/bin/sh\necho '"+hint+"' >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if root := sourceTree(); root != "" { // else this is a copy of the package
		source, err := os.ReadFile(filepath.Join(root, "internal/postgres/cluster/binaries.go"))
		if err != nil || !strings.Contains(string(source), `"no PostgreSQL 14 or newer is installed: "`) {
			t.Errorf("the server says it otherwise (%v)", err)
		}
	}
	t.Chdir(dir) // away from the source tree
	t.Setenv("HOMESERVER_BIN", "")
	for want, options := range map[string][]Option{
		"put it in PATH":                         nil,
		"no PostgreSQL 14 or newer is installed": {Program(without)},
	} {
		start := func(t testing.TB) { Start(t, options...) }
		t.Setenv("PATH", "/nowhere")
		if options != nil {
			t.Setenv("PATH", "/bin:/usr/bin")
		}
		t.Setenv("CI", "")
		if got := attempt(t, start); !strings.Contains(got.skipped, want) || got.failed != "" {
			t.Errorf("want a skip with %q, got %+v", want, got)
		}
		t.Setenv("CI", "true")
		if got := attempt(t, start); !strings.Contains(got.failed, want) || got.skipped != "" {
			t.Errorf("want a failure with %q, got %+v", want, got)
		}
	}
}
