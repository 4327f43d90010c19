package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// recordUpgrade makes the recording that TestAnswersAreTheSameAfterAnUpgrade compares with:
//
//	go test ./internal/server -run TestAnswersAreTheSameAfterAnUpgrade -record
//
// Do so before the schema changes, and never just because the test fails.
var recordUpgrade = flag.Bool("record", false, "record the answers of this program, for later ones to be compared with")

// recordings has a folder for each schema, with a backup and the answers that were given when it was made.
const (
	recordings  = "testdata/upgrade"
	answersName = "answers.json.gz"
)

// recording is what a server answered when its backup was made.
type recording struct {
	Position int64    `json:"position"` // of the journal
	Answers  []answer `json:"answers"`
}

// answer is a question and what the server said.
type answer struct {
	User   string `json:"user"`
	Token  string `json:"token"`
	Path   string `json:"path"`
	Body   string `json:"body,omitempty"` // of a POST
	Status int    `json:"status"`
	Answer string `json:"answer"`
}

// TestAnswersAreTheSameAfterAnUpgrade restores backups that older versions of the server have made, each of data of
// every kind, and asks everything that it was asked then.
func TestAnswersAreTheSameAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	if *recordUpgrade {
		record(t)
	}
	folders, err := filepath.Glob(recordings + "/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("there are no recordings: %v", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			replay(t, folder)
		})
	}
}

// replay restores the backup in a folder and compares the answers.
func replay(t *testing.T, folder string) {
	t.Helper()
	was := readRecording(t, filepath.Join(folder, answersName))
	cfg := upgradeConfig(t)
	execSQL(t, cfg, `DROP SCHEMA public CASCADE`)
	execSQL(t, cfg, `CREATE SCHEMA public`)
	if _, err := Restore(t.Context(), cfg, slog.New(slog.DiscardHandler), filepath.Join(folder, "backup"), true, io.Discard); err != nil {
		t.Fatal(err)
	}
	c := clientAt(t, mustStart(t, cfg), 0)
	for _, a := range was.Answers {
		is := a.ask(c)
		if want, got := a.lasting(was.Position), is.lasting(was.Position); a.Status != is.Status || want != got {
			want, got = difference(want, got)
			t.Errorf("%s for %s: got %d … %s …\nand it was %d … %s …", a.Path, a.User, is.Status, got, a.Status, want)
		}
	}
}

// upgradeConfig returns the configuration that the recordings are made with.
func upgradeConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg := testConfig(t)
	cfg.Media.Open = true
	return cfg
}

// ask asks again.
func (a answer) ask(c *matrixtest.Client) answer {
	as := *c
	as.Token = a.Token
	method, body := http.MethodGet, any(nil)
	if a.Body != "" {
		method, body = http.MethodPost, a.Body
	}
	response := as.Do(method, a.Path, body)
	a.Status, a.Answer = response.Status, string(response.Body)
	return a
}

// escaped are characters that answers no longer escape.
var escaped = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

var (
	// passing are members that change with the time, and the default version of rooms.
	passing = regexp.MustCompile(`"(age|last_active_ago|last_seen_ts|last_seen_ip|expires_in|age_ts|default)":("[^"]*"|\d+)`)
	token   = regexp.MustCompile(`"s(\d+)(_[^"]*)?"`)
	// added are members of answers that came with end-to-end encryption …
	added = regexp.MustCompile(`,"(device_lists|device_one_time_keys_count|(org\.matrix\.msc2732\.)?device_unused_fallback_key_types|to_device)":` +
		`({"events":\[]}|{[^{}]*}|\[[^]]*])` +
		// … and those of pushers, and predefined rules, that came with notifications.
		`|,"org\.matrix\.msc4140\.delayed_events":{[^{}]*}` +
		`|,"org\.matrix\.msc3881\.\w+":("[^"]*"|true)` +
		`|,{"actions":([^{}]|{[^{}]*})*"rule_id":"\.org\.matrix\.msc3930\.rule\.\w+"}` +
		// … and what a room is, beside a knock on it.
		`|,"knock_room_state":\[[^]]*]`)
)

// lasting returns the answer without ages, without tokens of the present, and without the
// members that no server said then.
func (a answer) lasting(position int64) string {
	text := escaped.Replace(added.ReplaceAllString(passing.ReplaceAllString(a.Answer, `"$1":0`), ""))
	return token.ReplaceAllStringFunc(text, func(s string) string {
		if p, err := strconv.ParseInt(token.FindStringSubmatch(s)[1], 10, 64); err == nil && p >= position {
			return `"now"`
		}
		return s
	})
}

// record has users do everything, and writes down what they are answered then.
func record(t *testing.T) {
	t.Helper()
	cfg := upgradeConfig(t)
	s := mustStart(t, cfg)
	v := newVisitors(t, clientAt(t, s, 0))
	v.live()
	shutDown(t, s) // with it goes what is kept in memory alone
	c := clientAt(t, mustStart(t, cfg), 0)
	var was recording
	for _, user := range v.everybody {
		for _, question := range v.questions(user) {
			was.Answers = append(was.Answers, question.ask(c))
		}
	}
	schema := number(t, cfg, `SELECT max(version_id) FROM goose_db_version`)
	was.Position = number(t, cfg, `SELECT position FROM journal`)
	folder := filepath.Join(recordings, fmt.Sprintf("schema%d", schema))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), cfg, slog.New(slog.DiscardHandler), filepath.Join(folder, "backup"), io.Discard); err != nil {
		t.Fatal(err)
	}
	was.write(t, filepath.Join(folder, answersName))
}

func (r *recording) write(t *testing.T, name string) {
	t.Helper()
	var text bytes.Buffer
	compressed := gzip.NewWriter(&text)
	if err := errors.Join(json.NewEncoder(compressed).Encode(r), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readRecording(t *testing.T, name string) (r recording) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	compressed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(compressed).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// difference cuts two texts down to where they differ first.
func difference(a, b string) (string, string) {
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	const before, after = 60, 200
	cut := func(s string) string { return s[max(0, same-before):min(len(s), same+after)] }
	return cut(a), cut(b)
}

// number asks the database for one number.
func number(t *testing.T, cfg *config.Config, sql string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), string(cfg.Database.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// withQuery makes a path with a query string.
func withQuery(path string, pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}
