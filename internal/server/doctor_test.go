package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// patient is the data of a server, for the doctor to look at.
type patient struct {
	t    *testing.T
	cfg  *config.Config
	conn *pgx.Conn
}

// newPatient returns the data of a server that has had visitors of every kind and is down now.
func newPatient(t *testing.T) *patient {
	t.Helper()
	cfg := testConfig(t)
	s := mustStart(t, cfg)
	liveIn(t, s)
	shutDown(t, s)
	return &patient{t: t, cfg: cfg}
}

// liveIn does something with every part of a server that keeps anything.
func liveIn(t *testing.T, s *Server) {
	t.Helper()
	anybody := clientAt(t, s, 0)
	alice, bob, carol := anybody.Register("alice", "wordpass"), anybody.Register("bob", "wordpass"), anybody.Register("carol", "wordpass")
	alice.Do("PUT", matrixtest.Path("profile", alice.UserID, "displayname"), `{"displayname":"Alice"}`).OK()
	var room string
	for version := 1; version <= 12; version++ {
		room = alice.CreateRoom(map[string]any{
			"room_version": fmt.Sprint(version), "preset": "public_chat", "name": "Here", "topic": "What",
			"room_alias_name": fmt.Sprint("room", version), "invite": []string{carol.UserID},
		})
		bob.Join(room)
		picture := alice.Do("POST", "/_matrix/media/v3/upload", fmt.Sprint("picture ", version)).OK().String("content_uri")
		alice.SendEvent(room, "m.room.message", map[string]any{"msgtype": "m.image", "body": "findable", "url": picture})
		taken := bob.SendText(room, "taken back")
		bob.Do("PUT", matrixtest.Path("rooms", room, "redact", taken, rand.Text()), `{}`).OK()
		topic := alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "taken back, too"})
		alice.Do("PUT", matrixtest.Path("rooms", room, "redact", topic, rand.Text()), `{}`).OK()
		alice.SetState(room, "m.room.name", "", map[string]any{"name": "There"})
		for _, relType := range []string{"m.thread", "m.reference", "m.replace", "m.annotation"} {
			relates := map[string]any{"rel_type": relType, "event_id": taken, "key": "key"}
			alice.SendEvent(room, "org.example.related", map[string]any{"m.relates_to": relates, "m.new_content": map[string]any{}})
		}
		bob.Do("POST", matrixtest.Path("rooms", room, "receipt", "m.read", taken), `{}`).OK()
		bob.Do("PUT", matrixtest.Path("user", bob.UserID, "rooms", room, "account_data", "org.example.x"), `{}`).OK()
	}
	carol.Join(room)
	carol.Do("POST", matrixtest.Path("rooms", room, "leave"), `{}`).OK()
	carol.Do("POST", matrixtest.Path("rooms", room, "forget"), `{}`).OK()
	alice.Do("POST", matrixtest.Path("user", alice.UserID, "filter"), `{}`).OK()
	alice.Do("PUT", "/pushrules/global/override/.m.rule.master/enabled", `{"enabled":true}`).OK()
	version := alice.Do("POST", "/room_keys/version", `{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{}}`).OK().String("version")
	alice.Do("PUT", matrixtest.Path("room_keys", "keys", room, "session")+"?version="+version,
		`{"first_message_index":0,"forwarded_count":0,"is_verified":false,"session_data":{}}`).OK()
	alice.Do("POST", "/search", `{"search_categories":{"room_events":{"search_term":"findable"}}}`).OK()
}

// cloned returns a copy of the patient, as the database has it and with the same files.
func (p *patient) cloned(t *testing.T) *patient {
	t.Helper()
	address, err := url.Parse(string(p.cfg.Database.URL))
	if err != nil {
		t.Fatal(err)
	}
	name := "clone_" + strings.ToLower(rand.Text())
	admin := *address
	admin.Path = "/postgres"
	conn, err := pgx.Connect(t.Context(), admin.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+address.Path[1:]); err != nil {
		t.Fatal(err)
	}
	c := &patient{t: t, cfg: new(config.Config)}
	*c.cfg = *p.cfg
	clone := *address
	clone.Path = "/" + name
	c.cfg.Database.URL = config.Secret(clone.String())
	c.cfg.DataDir = t.TempDir()
	if err := os.CopyFS(c.cfg.DataDir, os.DirFS(p.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	if c.conn, err = pgx.Connect(t.Context(), clone.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = conn.Close(context.Background())
	})
	return c
}

// spoil runs statements, each of which has to do something.
func (p *patient) spoil(statements ...string) {
	p.t.Helper()
	for _, sql := range statements {
		done, err := p.conn.Exec(p.t.Context(), sql)
		if err != nil || done.RowsAffected() == 0 && !strings.HasPrefix(sql, "CREATE") && !strings.HasPrefix(sql, "DROP") {
			p.t.Fatalf("%s: %v, %v", sql, done, err)
		}
	}
}

// examined returns the doctor's findings and repairs.
func (p *patient) examined(repair bool) (doctor.Summary, string) {
	p.t.Helper()
	var out strings.Builder
	s, err := Doctor(p.t.Context(), p.cfg, slog.New(slog.DiscardHandler), repair, &out, io.Discard)
	if err != nil {
		p.t.Fatalf("the doctor fails: %v", err)
	}
	return s, out.String()
}

// messages returns all that was ever said.
func (p *patient) messages() (text string) {
	p.t.Helper()
	err := p.conn.QueryRow(p.t.Context(), `SELECT string_agg(event_nid || event_id || encode(json, 'hex'), ' ' ORDER BY event_nid) FROM events`).Scan(&text)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// One server lives through everything, and each test gets a copy of what it has left behind.
func TestDoctor(t *testing.T) {
	t.Parallel()
	healthy := newPatient(t)
	for name, test := range map[string]func(*testing.T, *patient){
		"finds nothing in a server that is well":  findsNothing,
		"finds and repairs":                       findsAndRepairs,
		"finds every damage of an event":          findsEveryDamage,
		"finds any changed byte of an event":      findsAnyChangedByte,
		"finds that the key is another one":       findsAnotherKey,
		"finds media that is lost, and of nobody": findsMedia,
		"builds broken indexes":                   buildsIndexes,
		"refuses another schema":                  refusesAnotherSchema,
		"knows every table that has entries":      knowsEntryTables,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, healthy)
		})
	}
}

func findsNothing(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	for _, repair := range []bool{false, true} {
		if s, out := p.examined(repair); s.Wrong != 0 {
			t.Errorf("with repair %v found %s", repair, out)
		}
	}
}

// A server that is in the middle of its work must not look ill.
func TestDoctorFindsNothingInAServerThatIsBusy(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cfg := testConfig(t)
	s := mustStart(t, cfg)
	liveIn(t, s)
	alice := clientAt(t, s, 0).Login("alice", "wordpass")
	room := alice.CreateRoom(nil)
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for i := range 4 {
		busy.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				alice.SetState(room, "org.example.state", fmt.Sprint(i, n%3), map[string]any{"n": n})
				alice.SendText(room, "findable")
				relates := map[string]any{"rel_type": "m.thread", "event_id": "$root"}
				reply := alice.SendEvent(room, "m.room.message", map[string]any{"m.relates_to": relates})
				alice.Do("PUT", matrixtest.Path("rooms", room, "redact", reply, rand.Text()), `{}`).OK()
				alice.Do("POST", "/_matrix/media/v3/upload", fmt.Sprint("picture ", i, n)).OK()
				alice.CreateRoom(nil)
			}
		})
	}
	p := &patient{t: t, cfg: cfg}
	for range 5 {
		if s, out := p.examined(false); s.Wrong != 0 {
			t.Errorf("found %s", out)
		}
	}
	cancel()
	busy.Wait()
}

// illness is something that is wrong, and what the doctor says.
type illness struct {
	spoil []string
	check string // the title of the check that finds it
	says  string
	// for good: it cannot be repaired.
	forGood bool
}

const anyState = `(SELECT s.event_nid FROM room_state s WHERE s.type = 'm.room.name' AND s.replaced_at IS NULL ORDER BY 1 LIMIT 1)`

var illnesses = map[string]illness{
	"a journal that was set back": {
		spoil: []string{`UPDATE journal SET position = position - 3`, `UPDATE followers SET position = 0`},
		check: "Journal: its position", says: "has an entry at",
	},
	"two entries at one position": {
		spoil: []string{`UPDATE account_data SET position = (SELECT min(position) FROM events) WHERE ctid = (SELECT min(ctid) FROM account_data)`},
		check: "Journal: one entry at a position", says: "2 entries: account_data, events", forGood: true,
	},
	"an entry in a gap": {
		spoil: []string{`INSERT INTO journal_gaps SELECT position - 2, position - 1 FROM journal`},
		check: "Journal: gaps", says: "where there should be none", forGood: true,
	},
	"a gap that is not over": {
		spoil: []string{`INSERT INTO journal_gaps SELECT position, position + 5 FROM journal`},
		check: "Journal: gaps", says: "is not behind the journal", forGood: true,
	},
	"gaps that overlap": {
		spoil: []string{`UPDATE journal SET position = 1000020`, `INSERT INTO journal_gaps VALUES (1000000, 1000010), (1000005, 1000020)`},
		check: "Journal: gaps", says: "overlap", forGood: true,
	},
	"a follower that is ahead": {
		spoil: []string{`UPDATE followers SET position = 99999 WHERE name = 'search'`},
		check: "Journal: followers", says: "the follower search is at position 99999",
	},
	"an event of another type": {
		spoil: []string{`UPDATE events SET type = 'm.other' WHERE event_nid = (SELECT max(event_nid) FROM events WHERE type = 'm.room.message')`},
		check: "Events: bytes, hashes and signatures", says: "has another type in its bytes", forGood: true,
	},
	"an event of another sender": {
		spoil: []string{`UPDATE events SET sender = '@eve:localhost' WHERE event_nid = (SELECT max(event_nid) FROM events WHERE type = 'm.room.message')`},
		check: "Events: bytes, hashes and signatures", says: "has another sender in its bytes", forGood: true,
	},
	"an event of no room": {
		spoil: []string{`UPDATE events SET room_nid = 9999 WHERE event_nid = (SELECT max(event_nid) FROM events WHERE type = 'm.room.message')`},
		check: "Events: bytes, hashes and signatures", says: "is of a room that there is not", forGood: true,
	},
	"an event that is gone": {
		spoil: []string{`DELETE FROM events WHERE event_nid = (SELECT min(event_nid) FROM events WHERE type = 'm.room.power_levels')`},
		check: "Events: bytes, hashes and signatures", says: "which is not there", forGood: true,
	},
	"a redaction that nobody made": {
		spoil: []string{`UPDATE events SET redacted_by = event_nid + 1 WHERE event_nid = (SELECT max(event_nid) FROM events WHERE type = 'm.room.create')`},
		check: "Events: bytes, hashes and signatures", says: "where no redaction of it stands", forGood: true,
	},
	"a redaction that was not carried out": {
		spoil: []string{`UPDATE events e SET redacted_by = r.event_nid FROM events r
			WHERE r.redacts IS NOT NULL AND e.event_nid = (SELECT max(event_nid) FROM events WHERE type = 'm.room.message' AND redacted_by IS NULL)`},
		check: "Events: bytes, hashes and signatures", says: "still has more than its redacted form", forGood: true,
	},
	"a relation that is missing": {
		spoil: []string{`DELETE FROM relations WHERE rel_type = 'm.reference'`},
		check: "Relations: events behind them", says: "is not in the table of relations as it should be",
	},
	"a relation of another sender": {
		spoil: []string{`UPDATE relations SET sender = '@eve:localhost' WHERE rel_type = 'm.thread'`},
		check: "Relations: events behind them", says: "is not in the table of relations as it should be",
	},
	"an edit of another time": {
		spoil: []string{`UPDATE relations SET edited_at = edited_at + 1 WHERE edited_at IS NOT NULL`},
		check: "Relations: events behind them", says: "is not in the table of relations as it should be",
	},
	"a relation to another event": {
		spoil: []string{`UPDATE relations SET target_id = '$other' WHERE rel_type = 'm.annotation'`},
		check: "Relations: events behind them", says: "and the event has none, or another",
	},
	"a relation of a redacted event": {
		spoil: []string{`INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state)
			SELECT room_nid, '$other', place, event_nid, event_id, 'm.other', type, sender, false FROM events WHERE redacted_by IS NOT NULL`},
		check: "Relations: events behind them", says: "and the event has none, or another",
	},
	"a thread with other replies": {
		spoil: []string{`UPDATE threads SET replies = replies + 1`},
		check: "Threads: replies", says: "has 1 replies up to place",
	},
	"a thread that is missing": {
		spoil: []string{`DELETE FROM threads`},
		check: "Threads: replies", says: "and counts 0 up to 0",
	},
	"a thread that there is not": {
		spoil: []string{`INSERT INTO threads (room_nid, root_id, last_place, replies) VALUES (1, '$other', 5, 5)`},
		check: "Threads: replies", says: "has 0 replies up to place 0",
	},
	"a thread that does not know its root": {
		spoil: []string{`UPDATE threads SET root_sender = NULL`},
		check: "Threads: roots", says: "does not know its root",
	},
	"a wrong mark of URLs": {
		spoil: []string{`UPDATE events SET has_url = NOT has_url WHERE type = 'm.room.message'`},
		check: "Events: bytes, hashes and signatures", says: "is said to have a URL",
	},
	"a wrong time": {
		spoil: []string{`UPDATE events SET origin_server_ts = origin_server_ts - 1 WHERE type = 'm.room.message'`},
		check: "Events: bytes, hashes and signatures", says: "is found by another time than its own",
	},
	"state with another value": {
		spoil: []string{`UPDATE room_state SET value = 'leave' WHERE event_nid = (SELECT max(event_nid) FROM room_state WHERE value = 'join')`},
		check: "Events: bytes, hashes and signatures", says: "with another value than it has",
	},
	"state that is missing": {
		spoil: []string{`DELETE FROM room_state WHERE event_nid = ` + anyState},
		check: "Events: bytes, hashes and signatures", says: "is missing in the state of its room",
	},
	"state of no event": {
		spoil: []string{`INSERT INTO room_state SELECT room_nid, 'm.nothing', '', event_nid, NULL, NULL, place, true FROM room_state WHERE event_nid = ` + anyState},
		check: "State: events behind it", says: "state m.nothing",
	},
	"intervals that overlap": {
		spoil: []string{`UPDATE room_state SET replaced_at = replaced_at + 1 WHERE replaced_at IS NOT NULL`},
		check: "State: intervals", says: "instead of",
	},
	"an interval that has ended too early": {
		spoil: []string{`UPDATE room_state SET replaced_at = place + 1 WHERE event_nid = ` + anyState},
		check: "State: intervals", says: "instead of no place",
	},
	"an interval that goes on": {
		spoil: []string{
			`DROP INDEX room_state_current`,
			`UPDATE room_state SET replaced_at = NULL WHERE replaced_at IS NOT NULL`,
		},
		check: "State: intervals", says: "ends at no place instead of",
	},
	"state that replaces something else": {
		spoil: []string{`UPDATE events SET replaces = NULL WHERE replaces IS NOT NULL`},
		check: "State: what was replaced", says: "is said to replace none instead of number",
	},
	"a head that is behind": {
		spoil: []string{`UPDATE rooms SET heads = '{$other}', depth = 3`},
		check: "Rooms: heads", says: "goes on from event $other at depth 3 instead of",
	},
	"a room without events": {
		spoil: []string{`INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members) VALUES (9999, '!empty:localhost', '10', '{}', 0, 0, 0)`},
		check: "Rooms: heads", says: "room !empty:localhost has no events", forGood: true,
	},
	"a room of no version": {
		spoil: []string{`UPDATE rooms SET version = '99' WHERE room_nid = 1`},
		check: "Rooms: heads", says: `is of version "99"`, forGood: true,
	},
	"wrong numbers of members": {
		spoil: []string{`UPDATE rooms SET joined_members = joined_members + 1, invited_members = 7`},
		check: "Rooms: numbers of members", says: "joined and 1 invited members, and counts",
	},
	"a wrong size of the state": {
		spoil: []string{`UPDATE rooms SET state_bytes = 7`},
		check: "Rooms: sizes of their state", says: "bytes, and counts 7",
	},
	"account data of nobody": {
		spoil: []string{`INSERT INTO account_data VALUES ('@nobody:localhost', 0, 'x', '{}', 0)`, `UPDATE account_data SET position = 1000001 WHERE user_id = '@nobody:localhost'`, `UPDATE journal SET position = 1000001`},
		check: "Account data: its users", says: "@nobody:localhost",
	},
	"account data of no room": {
		spoil: []string{`UPDATE account_data SET room_nid = 9999 WHERE room_nid = 1`},
		check: "Account data: its rooms", says: "for room number 9999",
	},
	"a receipt of no event": {
		spoil: []string{`UPDATE receipts SET event_id = '$nothing' WHERE room_nid = 1`},
		check: "Receipts: their events", says: "for event $nothing",
	},
	"push rules of nobody": {
		spoil: []string{`UPDATE push_rules SET user_id = '@nobody:localhost'`},
		check: "Push rules: their users", says: "@nobody:localhost",
	},
	"a key backup of nobody": {
		spoil: []string{`UPDATE key_backups SET user_id = '@nobody:localhost'`},
		check: "Key backups: their users", says: "@nobody:localhost",
	},
	"keys of no backup": {
		spoil: []string{`INSERT INTO room_keys SELECT 99, room_id, session_id, 0, 0, false, '{}' FROM room_keys`},
		check: "Key backups: their keys", says: "is of 99",
	},
	"wrong numbers of keys": {
		spoil: []string{`UPDATE key_backups SET keys = 7`},
		check: "Key backups: their numbers", says: "has 1 keys of 202 bytes, and says that it has 7 of 202",
	},
	"a presence list of nobody": {
		spoil: []string{`INSERT INTO presence_lists VALUES ('@nobody:localhost', '@alice:localhost')`},
		check: "Presence lists: their users", says: "@nobody:localhost",
	},
	"a filter of nobody": {
		spoil: []string{`UPDATE filters SET user_id = '@nobody:localhost'`},
		check: "Filters: their users", says: "@nobody:localhost",
	},
	"a search that finds nothing": {
		spoil: []string{`INSERT INTO search_index VALUES (999999, 1, '', '', false, '', 1)`},
		check: "Search: what is found", says: "the index finds position 999999",
	},
	"a search that finds what was taken back": {
		spoil: []string{`INSERT INTO search_index SELECT event_nid, room_nid, sender, '', false, '', place FROM events WHERE redacted_by IS NOT NULL AND type = 'm.room.message' LIMIT 1`},
		check: "Search: what is found", says: "where no event stands that can be found",
	},
	"a wrong sum of media": {
		spoil: []string{`UPDATE media_usage SET bytes = bytes + 1`},
		check: "Media: what counts towards quotas", says: "the files of @alice:localhost take 49152 bytes, and count as 49153",
	},
}

func findsAndRepairs(t *testing.T, healthy *patient) {
	for name, ill := range illnesses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := healthy.cloned(t)
			p.spoil(ill.spoil...)
			said := p.messages()
			found, out := p.examined(false)
			if found.Wrong == 0 || found.Repaired != 0 || !says(out, "WRONG", ill.check, ill.says) {
				t.Errorf("found %s", out)
			}
			repaired, out := p.examined(true)
			if ill.forGood {
				if repaired.Remaining() == 0 {
					t.Errorf("repaired what cannot be: %s", out)
				}
			} else if repaired.Remaining() != 0 || !says(out, "repaired", ill.check, ill.says) {
				t.Errorf("not all is repaired: %s", out)
			} else if after, out := p.examined(false); after.Wrong != 0 {
				t.Errorf("after the repair: %s", out)
			}
			if p.messages() != said {
				t.Error("a message has been changed")
			}
		})
	}
}

// says reports whether the findings of a check hold some words.
func says(out, word, check, words string) bool {
	_, rest, found := strings.Cut("\n"+out, fmt.Sprintf("\n%-9s %s\n", word, check))
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "   ") {
			return false
		}
		if strings.Contains(line, words) {
			return found
		}
	}
	return false
}

func findsEveryDamage(t *testing.T, healthy *patient) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := healthy.cloned(t)
			p.spoil(`UPDATE events SET json = ` + damage + ` WHERE event_nid = (SELECT max(event_nid) FROM events WHERE type = 'm.room.message' AND redacted_by IS NULL)`)
			for _, repair := range []bool{false, true} {
				if s, out := p.examined(repair); s.Remaining() == 0 || !says(out, "WRONG", "Events: bytes, hashes and signatures", "event ") {
					t.Errorf("with repair %v found %s", repair, out)
				}
			}
		})
	}
}

// A bit may fall anywhere.
func findsAnyChangedByte(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	var length, position int
	err := p.conn.QueryRow(t.Context(), `
		SELECT position, length(json) FROM events WHERE type = 'm.room.message' AND redacted_by IS NULL ORDER BY position DESC LIMIT 1`).Scan(&position, &length)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < length; at += 37 {
		flip := fmt.Sprintf(`UPDATE events SET json = set_byte(json, %d, get_byte(json, %[1]d) # 1) WHERE position = %d`, at, position)
		p.spoil(flip)
		if s, _ := p.examined(false); s.Wrong == 0 {
			t.Errorf("byte %d is changed, and nothing is found", at)
		}
		p.spoil(flip)
	}
	if s, out := p.examined(false); s.Wrong != 0 {
		t.Errorf("in the end: %s", out)
	}
}

func findsAnotherKey(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	file := filepath.Join(p.cfg.DataDir, signingKeyFile)
	if err := errors.Join(os.Remove(file), makeSigningKey(file)); err != nil {
		t.Fatal(err)
	}
	if s, out := p.examined(false); s.Wrong == 0 || !strings.Contains(out, "is not signed as this server signs") {
		t.Errorf("found %s", out)
	}
}

func findsMedia(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	uploaded, err := filepath.Glob(filepath.Join(p.cfg.DataDir, "media", "content", "*", "*"))
	if err != nil || len(uploaded) < 3 {
		t.Fatalf("found %v (%v)", uploaded, err)
	}
	stray := filepath.Join("ab", strings.Repeat("cd", 31))
	thumbnail := filepath.Join(p.cfg.DataDir, "media", "thumbnails", stray, "32x32-crop")
	strays := []string{filepath.Join(p.cfg.DataDir, "media", "content", stray), thumbnail}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.Remove(uploaded[0]))
	do(os.Truncate(uploaded[1], 2))
	content, err := os.ReadFile(uploaded[2])
	do(err)
	content[0] ^= 1
	do(os.WriteFile(uploaded[2], content, 0o600))
	for _, file := range strays {
		do(os.MkdirAll(filepath.Dir(file), 0o700))
		do(os.WriteFile(file, []byte("nobody's"), 0o600))
	}
	want := []string{
		filepath.Base(uploaded[0]) + " is missing", filepath.Base(uploaded[1]) + " has 2 bytes instead of",
		filepath.Base(uploaded[2]) + " does not have the content that was uploaded",
		"content/" + filepath.ToSlash(stray) + " belongs to nothing", "thumbnails/" + filepath.ToSlash(stray) + "/32x32-crop belongs to nothing",
	}
	s, out := p.examined(false)
	if s.Wrong != len(want) || slices.ContainsFunc(want, func(line string) bool { return !strings.Contains(out, line) }) {
		t.Errorf("found %s", out)
	}
	if s, out := p.examined(true); s != (doctor.Summary{Wrong: 5, Repaired: 2}) {
		t.Errorf("%+v: repaired %s", s, out)
	}
	for _, file := range strays {
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", file, err)
		}
	}
	if s, _ := p.examined(true); s != (doctor.Summary{Wrong: 3}) {
		t.Errorf("in the end: %+v", s)
	}
}

func buildsIndexes(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	p.spoil(`CREATE TABLE pets (name text)`, `INSERT INTO pets VALUES ('cat'), ('cat')`)
	// What is left of an index that could not be built.
	if _, err := p.conn.Exec(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY pets_name ON pets (name)`); err == nil {
		t.Fatal("two cats have one name")
	}
	for _, repair := range []bool{false, true} {
		if s, out := p.examined(repair); s != (doctor.Summary{Wrong: 1}) || !says(out, "WRONG", "Database: indexes", "the index pets_name of pets is not valid") {
			t.Errorf("with repair %v found %s", repair, out)
		}
	}
	p.spoil(`DELETE FROM pets WHERE ctid = (SELECT min(ctid) FROM pets)`)
	if s, out := p.examined(true); s != (doctor.Summary{Wrong: 1, Repaired: 1}) {
		t.Errorf("repaired %s", out)
	}
	if s, out := p.examined(false); s.Wrong != 0 {
		t.Errorf("in the end: %s", out)
	}
}

// What the doctor works with has to be what it knows.
func refusesAnotherSchema(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	p.spoil(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	_, err := Doctor(t.Context(), p.cfg, slog.New(slog.DiscardHandler), false, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "schema version 99999") {
		t.Errorf("got %v", err)
	}
}

func knowsEntryTables(t *testing.T, healthy *patient) {
	p := healthy.cloned(t)
	rows, _ := p.conn.Query(t.Context(), `
		SELECT table_name::text FROM information_schema.columns
		WHERE table_schema = current_schema() AND column_name = 'position' ORDER BY 1`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	// Those that have a position of something else.
	others := []string{"app_service_progress", "delayed_events", "followers", "journal", "room_state", "search_index"}
	known := mustStart(t, p.cfg).services.journal.Tables()
	for _, table := range tables {
		if !slices.Contains(others, table) && !slices.Contains(known, table) {
			t.Errorf("%s has positions, and nobody looks at them", table)
		}
	}
}
