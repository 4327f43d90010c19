package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/syncstream"
)

var recordAnew = flag.Bool("record", false, "write the recorded answers of sync anew")

// What one history looks like in each generation of sync is recorded in testdata/sync,
// byte for byte but for IDs, times and ticks: from the live window, and from the tables
// by a second process on the same database.
func TestSyncAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	anyone := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler())
	h := newRecordedHistory(t, anyone)
	again := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler())
	var names idNames
	for _, from := range []struct {
		name string
		url  string
	}{{"window", anyone.BaseURL}, {"tables", again.BaseURL}} {
		for _, of := range []struct {
			generation, prefix string
			paths              []string
		}{
			{"v3", "/_matrix/client/v3", h.syncs()},
			{"v2_alpha", prefixV2Alpha, h.syncsV2Alpha()},
			{"v1", prefixV1, h.snapshotsAndEvents()},
			{"r0", "/_matrix/client/r0", h.snapshotsAndEvents()[:4]},
		} {
			bob := *h.bob
			bob.BaseURL, bob.Prefix = from.url, of.prefix
			var answers bytes.Buffer
			for _, path := range of.paths {
				if from.name == "tables" && !strings.Contains(path, "since=") && !strings.Contains(path, "from=") {
					continue // that is from the tables in any case
				}
				answers.WriteString(names.replace(path) + "\n" + names.replace(string(bob.Do("GET", path, nil).Body)))
			}
			compareRecorded(t, of.generation+"."+from.name, answers.String())
		}
	}
}

// compareRecorded compares answers, each a line below the one that holds its path, with
// those in a file.
func compareRecorded(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "sync", name+".txt")
	if *recordAnew {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, have := strings.Split(string(recorded), "\n"), strings.Split(got, "\n")
	if len(want) != len(have) {
		t.Fatalf("%s: there are %d lines, recorded %d", name, len(have), len(want))
	}
	for i := range want {
		if want[i] != have[i] {
			t.Errorf("%s, %s: %s", name, have[max(0, i-1)], cmp.Diff(indentedJSON(want[i]), indentedJSON(have[i])))
		}
	}
}

func indentedJSON(text string) string {
	var out bytes.Buffer
	if json.Indent(&out, []byte(text), "", " ") != nil {
		return text
	}
	return out.String()
}

// idNames replaces IDs, which differ in each run, by names in the order of their appearance.
type idNames struct{ known map[string]string }

var (
	anyID  = regexp.MustCompile(`(?:[!$]|%21|%24)[A-Za-z0-9_/+=-]{18,}`)
	times  = regexp.MustCompile(`"(age|age_ts|origin_server_ts|ts|last_active_ago)":\d+`)
	tick   = regexp.MustCompile(`_[a-z0-9]+\.\d+`)
	signed = regexp.MustCompile(`"(sha256|ed25519:test|transaction_id)":"[^"]*"`)
)

func (n *idNames) replace(text string) string {
	if n.known == nil {
		n.known = map[string]string{}
	}
	text = anyID.ReplaceAllStringFunc(text, func(id string) string {
		id = strings.NewReplacer("%21", "!", "%24", "$").Replace(id)
		if n.known[id] == "" {
			n.known[id] = fmt.Sprintf("%s%d", id[:1], len(n.known))
		}
		return n.known[id]
	})
	text = times.ReplaceAllString(text, `"$1":0`)
	text = signed.ReplaceAllString(text, `"$1":""`)
	return tick.ReplaceAllString(text, "")
}

// recordedHistory is a history with bob, and the tokens that he got meanwhile.
type recordedHistory struct {
	bob                                          *matrixtest.Client
	kitchen, office, cellar, attic, garden, fair string
	start, middle, late                          string
}

func newRecordedHistory(t *testing.T, anyone *matrixtest.Client) *recordedHistory {
	t.Helper()
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	carol, dave := anyone.Register("carol", "wordpass"), anyone.Register("dave", "wordpass")
	h := &recordedHistory{bob: bob}
	token := func() string { return bob.Sync("", "set_presence", "offline").NextBatch() }

	h.kitchen = alice.CreateRoom(`{"room_version":"11","preset":"public_chat","name":"Kitchen","visibility":"public"}`)
	h.office = alice.CreateRoom(`{"room_version":"11","preset":"public_chat"}`)
	bob.Join(h.kitchen)
	bob.Join(h.office)
	h.start = token()

	carol.Join(h.kitchen)
	numbered(alice, h.kitchen, 3)
	root := alice.SendText(h.kitchen, "root")
	carol.SendEvent(h.kitchen, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "reply", "m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": root},
	})
	rude := carol.SendText(h.kitchen, "rude")
	alice.Do("PUT", matrixtest.Path("rooms", h.kitchen, "redact", rude, "1"), `{"reason":"rude"}`).OK()
	for _, topic := range []string{"soup", "bread"} {
		alice.SetState(h.kitchen, "m.room.topic", "", `{"topic":"`+topic+`"}`)
	}
	alice.SendEvent(h.kitchen, "m.room.message", `{"msgtype":"m.text","body":"bob!","m.mentions":{"user_ids":["@bob:localhost"]}}`)
	h.middle = token()

	alice.SetState(h.office, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	alice.SetState(h.office, "m.room.topic", "", `{"topic":"before"}`)
	change(bob, h.office, "leave", `{}`).OK()
	alice.SetState(h.office, "m.room.topic", "", `{"topic":"while bob was away"}`)
	alice.SendText(h.office, "secret")
	bob.Join(h.office)
	alice.SendText(h.office, "welcome back")

	h.cellar = alice.CreateRoom(`{"room_version":"11","name":"Cellar"}`)
	change(alice, h.cellar, "invite", whom(bob)).OK()
	unwanted := dave.CreateRoom(`{"room_version":"11","name":"Trap"}`)
	h.attic = alice.CreateRoom(`{"room_version":"11","name":"Attic","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
	bob.Do("POST", matrixtest.Path("knock", h.attic), `{}`).OK()
	h.garden = alice.CreateRoom(`{"room_version":"11","preset":"public_chat"}`)
	gone := alice.CreateRoom(`{"room_version":"11","preset":"public_chat"}`)
	for _, room := range []string{h.garden, gone} {
		bob.Join(room)
		alice.SendText(room, "stay")
		change(bob, room, "leave", `{}`).OK()
		alice.SendText(room, "bob is gone")
	}
	change(bob, gone, "forget", `{}`).OK()
	h.fair = alice.CreateRoom(`{"room_version":"11","preset":"public_chat"}`)
	alice.SetState(h.fair, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	numbered(alice, h.fair, 3)
	h.late = token()

	bob.Do("PUT", matrixtest.Path("user", bob.UserID, "account_data", "m.ignored_user_list"), `{"ignored_users":{"@dave:localhost":{}}}`).OK()
	change(dave, unwanted, "invite", whom(bob)).OK()
	dave.Join(h.kitchen)
	dave.SendText(h.kitchen, "ignore me")
	carol.SetState(h.kitchen, "m.room.member", carol.UserID, `{"membership":"join","displayname":"Caroline"}`)
	said := carol.SendText(h.kitchen, "last")
	bob.SendText(h.kitchen, "mine")
	for i := range 2 {
		bob.Do("PUT", matrixtest.Path("user", bob.UserID, "account_data", "org.example"), fmt.Sprintf(`{"n":%d}`, i)).OK()
	}
	bob.Do("PUT", matrixtest.Path("user", bob.UserID, "rooms", h.office, "tags", "u.work"), `{"order":0.5}`).OK()
	bob.Do("PUT", matrixtest.Path("pushrules", "global", "room", h.fair), `{"actions":[]}`).OK()
	for _, reader := range []*matrixtest.Client{alice, bob} {
		reader.Do("POST", matrixtest.Path("rooms", h.kitchen, "receipt", "m.read", said), `{"thread_id":"main"}`).OK()
	}
	bob.Do("POST", matrixtest.Path("rooms", h.office, "receipt", "m.read.private", alice.SendText(h.office, "read this")), `{}`).OK()
	alice.Do("PUT", matrixtest.Path("presence", alice.UserID, "status"), `{"presence":"online","status_msg":"cooking"}`).OK()
	alice.Do("PUT", matrixtest.Path("rooms", h.kitchen, "typing", alice.UserID), `{"typing":true,"timeout":600000}`).OK()
	return h
}

// syncs lists the requests for sync.
func (h *recordedHistory) syncs() (paths []string) {
	add := func(since string, query ...string) {
		paths = append(paths, matrixtest.SyncPath(since, append(query, "set_presence", "offline")...))
	}
	add("")
	add("", "filter", `{"room":{"include_leave":true,"timeline":{"limit":2},"state":{"lazy_load_members":true}},"presence":{"not_types":["*"]}}`)
	for _, since := range []string{h.start, h.middle, h.late} {
		add(since)
		add(since, "use_state_after", "true")
		add(since, "filter", `{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}`)
	}
	kitchen, office := fmt.Sprintf(`"rooms":[%q]`, h.kitchen), fmt.Sprintf(`"rooms":[%q]`, h.office)
	add(h.middle, "full_state", "true", "filter", `{"room":{"include_leave":true,"timeline":{"limit":1}},"presence":{"not_types":["*"]}}`)
	add(h.middle, "org.matrix.msc4222.use_state_after", "true", "filter", `{"room":{`+office+`}}`)
	add("", "use_state_after", "true", "filter", `{"room":{`+office+`}}`)
	add(h.start, "filter", `{"room":{`+kitchen+`,"timeline":{"unread_thread_notifications":true,"not_types":["m.room.topic"]},"ephemeral":{"types":["m.typing"]}}}`)
	add(h.start, "filter", `{"event_format":"federation","room":{`+kitchen+`,"timeline":{"limit":2}}}`)
	add(h.start, "filter", `{"event_fields":["content.body","type","unsigned.age"],"account_data":{"not_types":["m.push_rules"]}}`)
	add("s0", "filter", `{"room":{"state":{"types":["m.room.topic"]},"timeline":{"types":["m.room.message"]},"account_data":{"not_types":["*"]}}}`)
	return paths
}

func (h *recordedHistory) syncsV2Alpha() (paths []string) {
	for _, since := range []string{"", h.start, h.middle, h.late} {
		paths = append(paths, matrixtest.SyncPath(since, "set_presence", "offline"))
	}
	for _, filter := range []string{
		`{"room":{"include_leave":true,"timeline":{"limit":2},"state":{"lazy_load_members":true}}}`,
		`{"event_fields":["content.body","type"],"room":{"state":{"types":["m.room.topic"]}}}`,
		`{"event_format":"federation","room":{"timeline":{"limit":1}}}`,
	} {
		paths = append(paths, matrixtest.SyncPath("", "set_presence", "offline", "filter", filter))
	}
	return paths
}

// snapshotsAndEvents lists the requests of the generations before sync.
func (h *recordedHistory) snapshotsAndEvents() []string {
	paths := []string{"/initialSync", "/initialSync?archived=true&limit=2"}
	for _, room := range []string{h.kitchen, h.office, h.cellar, h.attic, h.garden, h.fair} {
		paths = append(paths,
			matrixtest.Path("rooms", room, "initialSync")+"?limit=2",
			"/events?timeout=0&room_id="+url.QueryEscape(room)+"&from="+h.start)
	}
	for _, from := range []string{syncstream.TokenStart, syncstream.TokenEnd, h.start, h.middle, h.late} {
		paths = append(paths, "/events?timeout=0&from="+from)
	}
	return paths
}
