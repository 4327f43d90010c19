package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

func TestUserCommandsBesideARunningServer(t *testing.T) {
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	c := matrixtest.At(t, r.url(t, "http"), http.DefaultClient)
	run := func(stdin string, args ...string) string {
		t.Helper()
		got := runWith(t, strings.NewReader(stdin), environ, args...)
		if got.code != exitOK || got.stderr != "" {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.stdout
	}
	if got := run("wordpass\n", "user", "create", "alice", "--admin"); !strings.Contains(got, "@alice:localhost") {
		t.Errorf("got %s", got)
	}
	c.Login("alice", "wordpass")

	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(" with spaces \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("not this one", "user", "create", "--password-file", file, "bob")
	bob := c.Login("bob", " with spaces ")

	run("new", "user", "password", "bob", "--password-file", "-")
	bob.Do(http.MethodGet, "/account/whoami", nil).OK()
	// The server remembers a token for a while once it has been used: so take one that has not.
	bob = c.Login("bob", "new")
	run("newer", "user", "password", "@bob:localhost", "--logout")
	bob.Do(http.MethodGet, "/account/whoami", nil).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")

	bob = c.Login("bob", "newer")
	run("", "user", "suspend", "bob")
	run("", "user", "lock", "bob")
	matrixtest.Until(t, "the account is locked in the running server", func() bool {
		return bob.Do(http.MethodGet, "/account/whoami", nil).Errcode() == "M_USER_LOCKED"
	})
	if list := run("", "user", "list"); !strings.Contains(list, "locked, suspended") {
		t.Errorf("got\n%s", list)
	}
	run("", "user", "unlock", "bob")
	matrixtest.Until(t, "the account is unlocked in the running server", func() bool {
		return bob.Do(http.MethodGet, "/account/whoami", nil).Status == http.StatusOK
	})
	bob.Do(http.MethodPost, "/createRoom", `{}`).Refused(http.StatusForbidden, "M_USER_SUSPENDED")
	run("", "user", "unsuspend", "bob")

	run("", "user", "deactivate", "bob", "--yes")
	bob.Do(http.MethodGet, "/account/whoami", nil).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	list := run("", "user", "list")
	want := `^USER +MADE +KIND\n@alice:localhost +\d{4}-\d\d-\d\d +administrator\n@bob:localhost +\S+ +deactivated\n$`
	if !regexp.MustCompile(want).MatchString(list) {
		t.Errorf("got\n%s", list)
	}
}

func TestRegistrationTokenCommands(t *testing.T) {
	t.Parallel()
	environ := append(served(t), "HOMESERVER_PUBLIC_BASE_URL=https://matrix.example.org", "HOMESERVER_REGISTRATION_ENABLED=true")
	run := func(args ...string) string {
		t.Helper()
		got := runWith(t, strings.NewReader(""), environ, args...)
		if got.code != exitOK || got.stderr != "" {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.stdout
	}
	made := run("registration-token", "create")
	if !regexp.MustCompile(`^([a-z2-7]{20})\nhttps://matrix\.example\.org\S+/register\?token=([a-z2-7]{20})\n$`).MatchString(made) {
		t.Errorf("got\n%s", made)
	}
	run("registration-token", "create", "--token", "family", "--uses", "0", "--expires", "0")
	want := `^TOKEN +USED +EXPIRES\n[a-z2-7]{20} +0 of 1 +\d{4}-\S+ \S+\nfamily +0 +never\n$`
	if list := run("registration-token", "list"); !regexp.MustCompile(want).MatchString(list) {
		t.Errorf("got\n%s", list)
	}
	run("registration-token", "delete", "family")
	again := runWith(t, strings.NewReader(""), environ, "registration-token", "delete", "family")
	if again.code != exitFailure || !strings.Contains(again.stderr, "M_NOT_FOUND") {
		t.Errorf("got %+v", again)
	}
}

func TestUserMistakes(t *testing.T) {
	t.Parallel()
	environ := served(t)
	if got := runWith(t, strings.NewReader("x"), environ, "user", "create", "alice"); got.code != exitOK {
		t.Fatalf("got %+v", got)
	}
	for _, test := range []struct{ stdin, args, want string }{
		{"x", "user create alice", "M_USER_IN_USE"},
		{"x", "user create Al!ce", "M_INVALID_USERNAME"},
		{"\n", "user create bob", "the password is empty"},
		{"x", "user create bob --password-file /does/not/exist", "/does/not/exist"},
		{"x", "user password nobody", "M_NOT_FOUND"},
		{"", "user deactivate nobody --yes", "M_NOT_FOUND"},
		{"", "user lock nobody", "M_NOT_FOUND"},
	} {
		got := runWith(t, strings.NewReader(test.stdin), environ, strings.Fields(test.args)...)
		if got.code != exitFailure || !strings.Contains(got.stderr, test.want) || got.stdout != "" {
			t.Errorf("%s: got %+v, want %s", test.args, got, test.want)
		}
	}
}

// Such a folder has been mistyped, or the configuration was forgotten.
func TestCommandsMakeAServerWhereNoneIs(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"", postgrestest.URL(t)} {
		dir := filepath.Join(t.TempDir(), "none")
		environ := []string{"HOMESERVER_DATABASE_URL=" + database, "HOMESERVER_DATA_DIR=" + dir}
		commands := []string{
			"user create alice", "user password alice", "user list", "user deactivate alice --yes", "user lock alice", "user unlock alice", "user suspend alice", "user unsuspend alice",
			"reports list", "reports show 1", "reports close 1",
			"backup " + filepath.Join(t.TempDir(), "backup"), "doctor", "doctor --repair",
		}
		if database == "" {
			// They are for databases that somebody else has made, too.
			commands = append(commands, "migrate", "signing-key adopt --yes")
		}
		for _, args := range commands {
			got := runWith(t, strings.NewReader("wordpass"), environ, strings.Fields(args)...)
			if got.code != exitFailure || !strings.Contains(got.stderr, "no server has used the data folder "+dir) || got.stdout != "" {
				t.Errorf("%s: got %+v", args, got)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Fatalf("%s: made the folder: %v", args, err)
			}
		}
	}
}
