package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

const backupAlgorithm = "m.megolm_backup.v1.curve25519-aes-sha2"

// newBackup makes a backup and returns its version.
func newBackup(c *matrixtest.Client) string {
	c.T.Helper()
	return c.Do("POST", "/room_keys/version", backupRequest(nil)).OK().String("version")
}

// backupRequest is a request for a backup, with some members set otherwise.
func backupRequest(changes map[string]any) map[string]any {
	body := map[string]any{"algorithm": backupAlgorithm, "auth_data": map[string]any{"public_key": "abcdefg", "signatures": map[string]any{}}}
	maps.Copy(body, changes)
	return body
}

// roomKey is a key, with some members set otherwise; null takes one away.
func roomKey(changes map[string]any) map[string]any {
	key := map[string]any{
		"first_message_index": 1.0, "forwarded_count": 0.0, "is_verified": false,
		"session_data": map[string]any{"ephemeral": "base64", "ciphertext": "more base64", "mac": "base64"},
	}
	for name, value := range changes {
		if key[name] = value; value == nil {
			delete(key, name)
		}
	}
	return key
}

// keysPath is the path of keys in a backup.
func keysPath(version string, at ...string) string {
	return "/room_keys/keys" + matrixtest.Path(at...) + "?version=" + version
}

// wantJSON fails the test unless an answer is this.
func wantJSON(t *testing.T, r *matrixtest.Response, want any) {
	t.Helper()
	if diff := cmp.Diff(want, r.OK().At()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func sessions(of map[string]any) map[string]any { return map[string]any{"sessions": of} }

// TestKeyBackup goes the way of a client that makes a backup, fills it and restores it, at each
// place where clients look for the endpoints.
func TestKeyBackup(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	for i, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3", "/_matrix/client/unstable"} {
		alice := anyone.Register(fmt.Sprint("alice", i), "wordpass")
		alice.Prefix = prefix
		alice.Do("GET", "/room_keys/version", nil).Refused(404, "M_NOT_FOUND")
		version := newBackup(alice)
		empty := alice.Do("GET", "/room_keys/version", nil).OK()
		want := backupRequest(map[string]any{"version": version, "count": 0.0, "etag": empty.String("etag")})
		wantJSON(t, empty, want)
		wantJSON(t, alice.Do("GET", "/room_keys/version/"+version, nil), want)
		wantJSON(t, alice.Do("GET", keysPath(version), nil), map[string]any{"rooms": map[string]any{}})
		wantJSON(t, alice.Do("GET", keysPath(version, "!a:x"), nil), sessions(map[string]any{}))
		alice.Do("GET", keysPath(version, "!a:x", "s"), nil).Refused(404, "M_NOT_FOUND")

		one, two, three := roomKey(nil), roomKey(map[string]any{"is_verified": true}), roomKey(map[string]any{"first_message_index": 7.0})
		alice.Do("PUT", keysPath(version, "!b:x", "s/1"), one).OK()
		alice.Do("PUT", keysPath(version, "!b:x"), sessions(map[string]any{"s2": two})).OK()
		last := alice.Do("PUT", keysPath(version), map[string]any{"rooms": map[string]any{"!a:x": sessions(map[string]any{"s1": three})}}).OK()
		if last.At("count") != 3.0 || last.String("etag") == empty.String("etag") {
			t.Errorf("after three keys: %s", last.Body)
		}
		wantJSON(t, alice.Do("GET", keysPath(version), nil), map[string]any{"rooms": map[string]any{
			"!a:x": sessions(map[string]any{"s1": three}), "!b:x": sessions(map[string]any{"s/1": one, "s2": two}),
		}})
		wantJSON(t, alice.Do("GET", keysPath(version, "!b:x"), nil), sessions(map[string]any{"s/1": one, "s2": two}))
		wantJSON(t, alice.Do("GET", keysPath(version, "!b:x", "s/1"), nil), one)
		wantJSON(t, alice.Do("GET", "/room_keys/version", nil),
			backupRequest(map[string]any{"version": version, "count": 3.0, "etag": last.String("etag")}))

		for _, step := range []struct {
			at   []string
			left float64
		}{{[]string{"!b:x", "s/1"}, 2}, {[]string{"!a:x"}, 1}, {nil, 0}} {
			before := last.String("etag")
			last = alice.Do("DELETE", keysPath(version, step.at...), nil).OK()
			if last.At("count") != step.left || last.String("etag") == before {
				t.Errorf("after the keys at %v were deleted: %s", step.at, last.Body)
			}
			wantJSON(t, alice.Do("DELETE", keysPath(version, step.at...), nil), last.At()) // nothing is left to be deleted
		}
		wantJSON(t, alice.Do("GET", keysPath(version), nil), map[string]any{"rooms": map[string]any{}})
	}
}

func TestKeyBackupVersions(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	first := newBackup(alice)
	second := newBackup(alice)
	if first == second {
		t.Errorf("two backups have the version %s", first)
	}
	if got := alice.Do("GET", "/room_keys/version", nil).OK().String("version"); got != second {
		t.Errorf("the newest one is %s, want %s", got, second)
	}
	wantJSON(t, alice.Do("PUT", "/room_keys/version/"+first, backupRequest(map[string]any{"version": first, "auth_data": map[string]any{"new": true}})), map[string]any{})
	if got := alice.Do("GET", "/room_keys/version/"+first, nil).OK().At("auth_data", "new"); got != true {
		t.Errorf("its new data has %v", got)
	}

	alice.Do("PUT", keysPath(second, "!a:x", "s"), roomKey(nil)).OK()
	for _, path := range []string{keysPath(first), keysPath(first, "!a:x"), keysPath(first, "!a:x", "s"), keysPath("999"), keysPath("x")} {
		body := roomKey(map[string]any{"sessions": map[string]any{"s": roomKey(nil)}, "rooms": map[string]any{}})
		refused := alice.Do("PUT", path, body).Refused(403, "M_WRONG_ROOM_KEYS_VERSION")
		if got := refused.String("current_version"); got != second {
			t.Errorf("%s: the current version is %q, want %s", path, got, second)
		}
	}

	for range 2 {
		wantJSON(t, alice.Do("DELETE", "/room_keys/version/"+second, nil), map[string]any{})
	}
	alice.Do("GET", "/room_keys/version/"+second, nil).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", keysPath(second, "!a:x", "s"), nil).Refused(404, "M_NOT_FOUND")
	if got := alice.Do("GET", "/room_keys/version", nil).OK().String("version"); got != first {
		t.Errorf("then the newest one is %s, want %s", got, first)
	}
	alice.Do("PUT", keysPath(first, "!a:x", "s"), roomKey(nil)).OK()
	if third := newBackup(alice); third == second {
		t.Errorf("%s is the version of a second backup", second)
	}

	for _, version := range []string{"999", "0", "-1", "+1", "01", "x", "%C3%BC", "99999999999999999999"} {
		for method, body := range map[string]any{"GET": nil, "PUT": backupRequest(nil), "DELETE": nil} {
			alice.Do(method, "/room_keys/version/"+version, body).Refused(404, "M_NOT_FOUND")
		}
		for _, at := range [][]string{nil, {"!a:x"}, {"!a:x", "s"}} {
			alice.Do("GET", keysPath(version, at...), nil).Refused(404, "M_NOT_FOUND")
			alice.Do("DELETE", keysPath(version, at...), nil).Refused(404, "M_NOT_FOUND")
		}
	}
	bob.Do("GET", "/room_keys/version/"+first, nil).Refused(404, "M_NOT_FOUND")
	bob.Do("DELETE", "/room_keys/version/"+first, nil).Refused(404, "M_NOT_FOUND")
	bob.Do("GET", keysPath(first), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("DELETE", keysPath(first), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("PUT", keysPath(first, "!a:x", "s"), roomKey(nil)).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", keysPath(first, "!a:x", "s"), nil).OK()
}

func TestTheBetterRoomKeyIsKept(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	version := newBackup(alice)
	etag := ""
	for i, step := range []struct {
		verified         bool
		index, forwarded float64
		kept             bool
	}{
		{false, 5, 5, true},
		{false, 5, 5, false}, // the same again
		{false, 5, 6, false},
		{false, 6, 0, false},
		{false, 5, 4, true},
		{false, 4, 9, true},
		{true, 100, 100, true},
		{false, 0, 0, false},
		{true, 100, 101, false},
		{true, 101, 0, false},
		{true, 100, 99, true},
		{true, 99, 1000, true},
	} {
		key := roomKey(map[string]any{
			"is_verified": step.verified, "first_message_index": step.index, "forwarded_count": step.forwarded,
			"session_data": map[string]any{"step": float64(i)},
		})
		answer := alice.Do("PUT", keysPath(version, "!a:x", "s"), key).OK()
		if changed := answer.String("etag") != etag; changed != step.kept || answer.At("count") != 1.0 {
			t.Errorf("step %d: the etag changes: %v, want %v; count %v", i, changed, step.kept, answer.At("count"))
		}
		etag = answer.String("etag")
		if kept := alice.Do("GET", keysPath(version, "!a:x", "s"), nil).OK().At("session_data", "step") == float64(i); kept != step.kept {
			t.Errorf("step %d is kept: %v, want %v", i, kept, step.kept)
		}
	}
}

// TestABatchOfTenThousandKeys sends as many keys as clients make of them, in one body, which is larger
// than others may be.
func TestABatchOfTenThousandKeys(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	version := newBackup(alice)
	rooms := map[string]any{}
	for r := range 50 {
		keys := map[string]any{}
		for s := range 200 {
			keys[fmt.Sprintf("%042d", s)] = roomKey(map[string]any{"session_data": map[string]any{
				"ephemeral": strings.Repeat("e", 43), "ciphertext": strings.Repeat("c", 700), "mac": "0123456789a",
			}})
		}
		rooms[fmt.Sprintf("!room%d:localhost", r)] = sessions(keys)
	}
	body := map[string]any{"rooms": rooms}
	if got := alice.Do("PUT", keysPath(version), body).OK().At("count"); got != 10_000.0 {
		t.Errorf("the count is %v", got)
	}
	wantJSON(t, alice.Do("GET", keysPath(version), nil), body)
	wantJSON(t, alice.Do("GET", keysPath(version, "!room7:localhost"), nil), rooms["!room7:localhost"])
	if got := alice.Do("DELETE", keysPath(version), nil).OK().At("count"); got != 0.0 {
		t.Errorf("after all were deleted the count is %v", got)
	}
	many := strings.Repeat(`"!a:x":{},`, 200_001)
	alice.Do("PUT", keysPath(version), `{"rooms":{`+many[:len(many)-1]+`}}`).Refused(413, "M_TOO_LARGE")
	alice.Do("PUT", keysPath(version, "!a:x", "s"), `{"session_data":"`+strings.Repeat("x", 1<<20)+`"}`).Refused(413, "M_TOO_LARGE")
}

// TestALargeBackupIsReadWithLittleMemory reads a backup several times at once, on a server whose memory
// for answers is a fraction of it.
func TestALargeBackupIsReadWithLittleMemory(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := postgrestest.New(t)
	opts := servicesOn(t, pool)
	opts.HTTP.Bounds.AnswerBytes = 16 << 20 // of which one user has a quarter
	alice := matrixtest.New(t, newAPI(t, opts).Handler()).Register("alice", "wordpass")
	version := newBackup(alice)
	const keys = 15_000
	_, err := pool.Exec(t.Context(), `
		INSERT INTO room_keys SELECT backup_id, '!room' || n % 300, 'session ' || n, 0, 0, false, convert_to('{"x":"' || repeat('x', 1000) || '"}', 'UTF8')
		FROM key_backups, generate_series(1, $1::int) n`, keys)
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			answer := alice.Do("GET", keysPath(version), nil)
			var backup struct {
				Rooms map[string]struct{ Sessions map[string]any }
			}
			if err := json.Unmarshal(answer.Body, &backup); err != nil {
				t.Errorf("status %d, %d bytes: %v", answer.Status, len(answer.Body), err)
			}
			n := 0
			for _, room := range backup.Rooms {
				n += len(room.Sessions)
			}
			if n != keys || len(backup.Rooms) != 300 {
				t.Errorf("%d keys of %d rooms are read", n, len(backup.Rooms))
			}
		})
	}
	readers.Wait()
}

func TestDeactivationDeletesKeyBackups(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	alice := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler()).Register("alice", "wordpass")
	alice.Do("PUT", keysPath(newBackup(alice), "!a:x", "s"), roomKey(nil)).OK()
	alice.Do("POST", "/account/deactivate", map[string]any{"auth": passwordOf(alice.UserID, "wordpass")}).OK()
	var n int
	err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM key_backups) + (SELECT count(*) FROM room_keys)`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

func TestKeyBackupRefusals(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	version := newBackup(alice)
	long := map[string]any{"x": strings.Repeat("x", 64<<10)}
	for _, test := range []struct {
		changes map[string]any
		code    string
	}{
		{map[string]any{"algorithm": nil}, "M_MISSING_PARAM"},
		{map[string]any{"auth_data": nil}, "M_MISSING_PARAM"},
		{map[string]any{"algorithm": 1}, "M_BAD_JSON"},
		{map[string]any{"algorithm": ""}, "M_INVALID_PARAM"},
		{map[string]any{"algorithm": strings.Repeat("a", 256)}, "M_INVALID_PARAM"},
		{map[string]any{"auth_data": "x"}, "M_BAD_JSON"},
		{map[string]any{"auth_data": []any{}}, "M_BAD_JSON"},
		{map[string]any{"auth_data": long}, "M_TOO_LARGE"},
		{map[string]any{"version": 1}, "M_BAD_JSON"},
	} {
		status := 400
		if test.code == "M_TOO_LARGE" {
			status = 413
		}
		alice.Do("POST", "/room_keys/version", backupRequest(test.changes)).Refused(status, test.code)
		alice.Do("PUT", "/room_keys/version/"+version, backupRequest(test.changes)).Refused(status, test.code)
	}
	alice.Do("PUT", "/room_keys/version/"+version, backupRequest(map[string]any{"version": "2"})).Refused(400, "M_INVALID_PARAM")
	alice.Do("PUT", "/room_keys/version/"+version, backupRequest(map[string]any{"algorithm": "org.example"})).Refused(400, "M_INVALID_PARAM")

	for _, test := range []struct {
		changes map[string]any
		code    string
	}{
		{map[string]any{"first_message_index": nil}, "M_MISSING_PARAM"},
		{map[string]any{"forwarded_count": nil}, "M_MISSING_PARAM"},
		{map[string]any{"is_verified": nil}, "M_MISSING_PARAM"},
		{map[string]any{"session_data": nil}, "M_MISSING_PARAM"},
		{map[string]any{"first_message_index": "1"}, "M_BAD_JSON"},
		{map[string]any{"first_message_index": 1.5}, "M_BAD_JSON"},
		{map[string]any{"first_message_index": -1}, "M_INVALID_PARAM"},
		{map[string]any{"forwarded_count": true}, "M_BAD_JSON"},
		{map[string]any{"forwarded_count": -1}, "M_INVALID_PARAM"},
		{map[string]any{"forwarded_count": 1 << 53}, "M_INVALID_PARAM"},
		{map[string]any{"is_verified": "true"}, "M_BAD_JSON"},
		{map[string]any{"session_data": "x"}, "M_BAD_JSON"},
		{map[string]any{"session_data": long}, "M_TOO_LARGE"},
	} {
		status, key := 400, roomKey(test.changes)
		if test.code == "M_TOO_LARGE" {
			status = 413
		}
		good := roomKey(nil)
		alice.Do("PUT", keysPath(version, "!a:x", "s"), key).Refused(status, test.code)
		alice.Do("PUT", keysPath(version, "!a:x"), sessions(map[string]any{"good": good, "s": key})).Refused(status, test.code)
		alice.Do("PUT", keysPath(version), map[string]any{"rooms": map[string]any{
			"!a:x": sessions(map[string]any{"good": good, "s": key}), "!b:x": sessions(map[string]any{"good": good}),
		}}).Refused(status, test.code)
	}
	for _, body := range []string{`{}`, `{"rooms":null}`, `{"rooms":{"!a:x":{}}}`, `{"rooms":{"!a:x":{"sessions":null}}}`} {
		alice.Do("PUT", keysPath(version), body).Refused(400, "M_MISSING_PARAM")
	}
	for _, body := range []string{`{"rooms":[]}`, `{"rooms":{"!a:x":1}}`, `{"rooms":{"!a:x":{"sessions":[]}}}`, `{"rooms":{"!a:x":{"sessions":{"s":1}}}}`} {
		alice.Do("PUT", keysPath(version), body).Refused(400, "M_BAD_JSON")
	}
	alice.Do("PUT", keysPath(version), `{"rooms":{"a":{"sessions":{}}}}`).Refused(400, "M_INVALID_PARAM")
	alice.Do("PUT", keysPath(version, "a", "s"), roomKey(nil)).Refused(400, "M_INVALID_PARAM")
	alice.Do("PUT", keysPath(version, "!a:x", strings.Repeat("s", 256)), roomKey(nil)).Refused(400, "M_INVALID_PARAM")
	for _, at := range [][]string{nil, {"!a:x"}, {"!a:x", "s"}} {
		path := "/room_keys/keys" + matrixtest.Path(at...)
		alice.Do("GET", path, nil).Refused(400, "M_MISSING_PARAM")
		alice.Do("DELETE", path, nil).Refused(400, "M_MISSING_PARAM")
		body := roomKey(map[string]any{"sessions": map[string]any{}, "rooms": map[string]any{}})
		alice.Do("PUT", path, body).Refused(400, "M_MISSING_PARAM")
	}
	if got := alice.Do("GET", "/room_keys/version", nil).OK(); got.At("count") != 0.0 {
		t.Errorf("of refused requests something is kept: %s", got.Body)
	}
}
