package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/devkit"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// devProcess is a development server as tests of clients have it.
type devProcess struct {
	*process
	*devkit.Document
	input io.Closer // standard input of the script
	file  string    // the ready file
}

// devFlags has a development server listen on free ports, and write the ready file.
func devFlags(readyFile string, more ...string) []string {
	return append([]string{"dev", "--listen", "localhost:0", "--listen", "tls://localhost:0", "--ready-file", readyFile}, more...)
}

// startDev runs a script of the shell that starts a development server, "$0" "$@", and returns once that is ready. The
// outputs close when the server has ended.
func startDev(t *testing.T, script string, flags ...string) *devProcess {
	t.Helper()
	d := launchDev(t, script, flags...)
	d.await(t)
	return d
}

// launchDev does the same and returns at once.
func launchDev(t *testing.T, script string, flags ...string) *devProcess {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	args := append([]string{"-c", script, os.Args[0]}, devFlags(file, flags...)...)
	d := &devProcess{process: &process{exec.Command("/bin/sh", args...), newWatched(), newWatched()}, file: file} //nolint:gosec,noctx // a script of the test
	d.Env = []string{actAsProgram + "=1", "PATH=" + os.Getenv("PATH")}
	d.Stdout, d.Stderr = d.stdout, d.stderr
	input, err := d.StdinPipe()
	if err == nil {
		err = d.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.input = input
	go func() {
		_ = d.Wait() // it may be killed
		d.stdout.close()
		d.stderr.close()
	}()
	t.Cleanup(func() {
		_ = input.Close()
		_ = d.Process.Signal(syscall.SIGTERM) // it may have ended
	})
	return d
}

// await waits for the ready file.
func (d *devProcess) await(t *testing.T) {
	t.Helper()
	matrixtest.Until(t, "the ready file is there", func() bool {
		_, err := os.Stat(d.file)
		return err == nil
	})
	d.Document = readDocument(t, readFile(t, d.file))
	t.Cleanup(func() { _ = syscall.Kill(d.PID, syscall.SIGTERM) })
}

// readDocument decodes what --ready-file and --json write.
func readDocument(t *testing.T, text string) *devkit.Document {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	d := &devkit.Document{}
	if err := decoder.Decode(d); err != nil || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("not one line of JSON (%v): %q", err, text)
	}
	return d
}

// trusting returns an HTTP client that trusts an authority.
func trusting(t *testing.T, caFile string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(readFile(t, caFile))) {
		t.Fatalf("no certificate in %s", caFile)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// folder returns where the server has its data.
func (d *devProcess) folder() string { return strings.TrimSuffix(d.CAFile, "/server/tls/ca.pem") }

// client returns a client with the session of a user of the document.
func (d *devProcess) client(t *testing.T, user int) *matrixtest.Client {
	t.Helper()
	c := matrixtest.At(t, d.BaseURL, http.DefaultClient)
	if user >= 0 {
		c.Token = d.Users[user].AccessToken
	}
	return c
}

func TestReadyFileSaysWhatProgramsNeed(t *testing.T) {
	t.Parallel()
	d := startDev(t, `exec "$0" "$@"`, "--server-name", "example.org",
		"--user", "alice:wordpass", "--user", "bob:with:colon", "--user", "Root:pass:word:admin")
	for i, want := range []devkit.User{
		{UserID: "@alice:example.org", Password: "wordpass"},
		{UserID: "@bob:example.org", Password: "with:colon"},
		{UserID: "@root:example.org", Password: "pass:word", Admin: true},
	} {
		got := d.Users[i]
		want.DeviceID, want.AccessToken = got.DeviceID, got.AccessToken
		if got != want || got.DeviceID == "" {
			t.Errorf("got %+v, want %+v", got, want)
		}
		who := d.client(t, i).Do("GET", "/_matrix/client/v3/account/whoami", nil).OK()
		if who.String("user_id") != got.UserID || who.String("device_id") != got.DeviceID {
			t.Errorf("the token of %s is that of %s", got.UserID, who.Body)
		}
		d.client(t, -1).Login(got.UserID, got.Password)
	}
	d.client(t, 2).Do("GET", "/_matrix/client/v3/admin/whois/@alice:example.org", nil).OK()
	d.client(t, 1).Do("GET", "/_matrix/client/v3/admin/whois/@alice:example.org", nil).Refused(http.StatusForbidden, "M_FORBIDDEN")

	if d.ServerName != "example.org" || d.PID != d.Process.Pid || d.ControlURL != d.BaseURL+"/_homeserver/dev" || len(d.Users) != 3 {
		t.Errorf("got %+v", d.Document)
	}
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+$`).MatchString(d.BaseURL) || !regexp.MustCompile(`^https://localhost:\d+$`).MatchString(d.TLSURL) {
		t.Errorf("it is at %s and %s", d.BaseURL, d.TLSURL)
	}
	matrixtest.At(t, d.TLSURL, trusting(t, d.CAFile)).Do("GET", "/_matrix/client/versions", nil).OK()
	root := d.client(t, -1)
	root.Prefix = ""
	if page := root.Do("GET", "/", nil); page.Status != http.StatusOK || !strings.Contains(string(page.Body), "Learn the Matrix API") {
		t.Errorf("the tutorial is not at /: %d %s", page.Status, page.Body)
	}
	if info, err := os.Stat(d.file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file with the tokens has mode %v (%v)", info.Mode(), err)
	}
	if code := d.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("code %d: %s", code, d.stderr)
	}
	for _, left := range []string{d.file, d.folder()} {
		if _, err := os.Stat(left); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", left, err)
		}
	}
}

func TestDevHasNoRateLimitsAndNoConfiguredDatabase(t *testing.T) {
	t.Parallel()
	r := start(t, []string{"HOMESERVER_DATABASE_URL=postgres://localhost:1/of-somebody-else"}, "dev", "--listen", "localhost:0")
	c := matrixtest.At(t, r.url(t, "http"), http.DefaultClient)
	for i := range 40 { // more than any limit allows at once
		c.Register("user"+strings.Repeat("x", i), "wordpass")
	}
	if code := r.end(t); code != exitOK {
		t.Errorf("code %d: %s", code, r.stderr)
	}
}

func TestJSONIsAllThatIsPrinted(t *testing.T) {
	t.Parallel()
	d := startDev(t, `exec "$0" "$@"`, "--json", "--user", "alice:wordpass")
	d.stdout.waitFor("\n")
	if line, file := d.stdout.String(), readFile(t, d.file); line != file {
		t.Errorf("printed %q, and the file has %q", line, file)
	}
	d.end(syscall.SIGTERM)
	if line := d.stdout.String(); strings.Count(line, "\n") != 1 {
		t.Errorf("printed %q", line)
	}
}

// What ends a development server, through the shells and runners of a test suite, and whatever ends those.
func TestDevEndsWithItsTestsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	kill := func(pid func(*devProcess) int) func(*devProcess) error {
		return func(d *devProcess) error { return syscall.Kill(pid(d), syscall.SIGKILL) }
	}
	server := func(d *devProcess) int { return d.PID }
	shell := func(d *devProcess) int { return d.Process.Pid }
	const background = `exec 3<&0; "$0" "$@" <&3 & exec 3<&-; wait`
	for name, test := range map[string]struct {
		script, flag string
		end          func(*devProcess) error
	}{
		"killed":                {`exec "$0" "$@"`, "--json", kill(server)},
		"killed with parent":    {`exec "$0" "$@"`, "--exit-with-parent", kill(server)},
		"parent killed":         {background, "--exit-with-parent", kill(shell)},
		"parent ended":          {`"$0" "$@" & read -r line`, "--exit-with-parent", func(d *devProcess) error { return d.input.Close() }},
		"input closed":          {background, "--exit-at-eof", func(d *devProcess) error { return d.input.Close() }},
		"killed with its input": {background, "--exit-at-eof", kill(server)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDev(t, test.script, test.flag)
			postmaster := postmasterOf(t, filepath.Join(d.folder(), "data"))
			if err := test.end(d); err != nil {
				t.Fatal(err)
			}
			d.stdout.waitFor("the end of output")
			matrixtest.Until(t, "the data is gone", func() bool {
				_, err := os.Stat(d.folder())
				return os.IsNotExist(err)
			})
			if err := syscall.Kill(postmaster, 0); err == nil {
				t.Error("its PostgreSQL still runs")
			}
			if segments := sharedMemory(t); segments[postmaster] {
				t.Error("its shared memory is still there")
			}
		})
	}
}

// sharedMemory returns the processes that have made the segments of shared memory that there are, where the system lists them.
func sharedMemory(t *testing.T) map[int]bool {
	t.Helper()
	makers := map[int]bool{}
	list, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return makers
	}
	for line := range strings.Lines(string(list)) {
		const maker = 4 // cpid
		if fields := strings.Fields(line); len(fields) > maker {
			pid, _ := strconv.Atoi(fields[maker]) // the first line has names
			makers[pid] = true
		}
	}
	return makers
}

func TestDevWithClosedInputEndsBeforeItIsReady(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready.json")
	got := runArgs(t, devFlags(file, "--exit-at-eof")...)
	if got.code != exitFailure || !strings.Contains(got.stderr, "stopped before it was ready") || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}

func TestOldReadyFileIsNotTakenForTheNewOne(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(file, []byte("of the server before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runArgs(t, devFlags(file, "--user", "Not Allowed:x")...)
	if got.code != exitFailure || !strings.Contains(got.stderr, "make the account Not Allowed: M_INVALID_USERNAME") {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the old file is still there: %v", err)
	}
}

func TestReadyFileThatCannotBeWrittenEndsTheServer(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "missing", "ready.json")
	got := runArgs(t, devFlags(file)...)
	if got.code != exitFailure || !strings.Contains(got.stderr, file) || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}

func TestTestingClientsWorksAsItIsWritten(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("needs jq")
	}
	all := steps(t, "docs/testing-clients.md")
	environ := []string{"PATH=" + commandFolder(t) + ":" + os.Getenv("PATH")}
	for i, o := range runSteps(t, t.TempDir(), environ, all) {
		all[i].judge(t, o)
	}
}

func TestDevOnAGivenPostgreSQLDropsItsDatabase(t *testing.T) {
	t.Parallel()
	given := postgrestest.URL(t)
	conn, err := pgx.Connect(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	databases := func() (names []string) {
		rows, err := conn.Query(t.Context(), `SELECT datname FROM pg_database WHERE datname LIKE 'homeserver\_dev\_%'`)
		if err == nil {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	run := func() *devProcess {
		d := startDev(t, `exec "$0" "$@"`, "--user", "alice:wordpass", "--database-url", given)
		d.client(t, 0).Do("POST", "/_matrix/client/v3/createRoom", nil).OK()
		return d
	}
	killed, second := run(), run()
	if all := databases(); len(all) != 2 {
		t.Errorf("two servers have the databases %q", all)
	}
	killed.end(syscall.SIGKILL)
	// The session of one that was killed may last a moment longer.
	matrixtest.Until(t, "the next server drops what a killed one has left", func() bool {
		third := run()
		defer third.end(syscall.SIGTERM)
		return len(databases()) == 2
	})
	second.client(t, 0).Do("GET", "/_matrix/client/v3/account/whoami", nil).OK()
	second.client(t, 0).Do("POST", "/_homeserver/dev/reset", nil).Refused(404, "M_UNRECOGNIZED")
	if code := second.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("code %d: %s", code, second.stderr)
	}
	if all := databases(); len(all) != 0 {
		t.Errorf("%q are left", all)
	}
	var users int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM accounts`).Scan(&users); err != nil || users != 0 {
		t.Errorf("the given database has %d users (%v)", users, err)
	}
}

func TestDevWithAPostgreSQLThatIsNotThere(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready.json")
	got := runArgs(t, devFlags(file, "--database-url", "postgres://me:secret@localhost:1/x?connect_timeout=2")...)
	if got.code != exitFailure || !strings.Contains(got.stderr, "--database-url: ") || strings.Contains(got.stderr, "secret") {
		t.Errorf("got %+v", got)
	}
}

func TestManyDevsAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("five", func(t *testing.T) { devsAtOnce(t, 5) })
	t.Run("twenty", func(t *testing.T) {
		matrixtest.Long(t)
		devsAtOnce(t, 20)
	})
}

// devsAtOnce starts development servers at the same time, for the first time on a machine: one makes the template, and
// the others copy it.
func devsAtOnce(t *testing.T, n int) {
	t.Helper()
	cache := t.TempDir()
	servers := make([]*devProcess, n)
	for i := range servers {
		servers[i] = launchDev(t, `XDG_CACHE_HOME=`+cache+` exec "$0" "$@"`, "--user", "alice:wordpass")
	}
	for _, d := range servers {
		d.await(t)
		d.client(t, 0).Do("POST", "/_matrix/client/v3/createRoom", map[string]any{"room_alias_name": "lobby"}).OK()
	}
	made := 0
	for _, d := range servers {
		d.end(syscall.SIGTERM)
		if !strings.Contains(d.stderr.String(), "copied a PostgreSQL cluster") {
			t.Errorf("one did not copy the template: %s", d.stderr)
		}
		made += strings.Count(d.stderr.String(), "made a PostgreSQL cluster")
	}
	if made != 1 {
		t.Errorf("the template was made %d times", made)
	}
}
