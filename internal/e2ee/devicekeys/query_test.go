package devicekeys_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/plantest"
	"homeserver/internal/reserve"
)

// crowd makes users with devices and cross-signing keys whose texts have so many bytes.
func (h *env) crowd(users, devices, bytes int) (ids []string) {
	h.T.Helper()
	with := strings.NewReplacer("{users}", strconv.Itoa(users), "{devices}", strconv.Itoa(devices), "{bytes}", strconv.Itoa(bytes))
	for _, sql := range []string{
		`INSERT INTO accounts (user_id, created_at) SELECT format('@u%s:localhost', u), 1 FROM generate_series(1, {users}) u`,
		`INSERT INTO devices SELECT user_id, 'D' || d, 'name ' || d, 1, 1, '', '' FROM accounts, generate_series(1, {devices}) d`,
		`INSERT INTO device_keys (user_id, device_id, keys, signature, signed_by, self_signature)
			SELECT user_id, device_id, format('{"device_id":"%s","x":"%s"}', device_id, repeat('x', {bytes})), 's', 'S', 't' FROM devices
			ORDER BY device_id, user_id`,
		`INSERT INTO cross_signing_keys SELECT user_id, usage, usage || user_id, format('{"u":"%s","x":"%s"}', usage, repeat('x', {bytes})), 's'
			FROM accounts, unnest('{master,self_signing,user_signing}'::text[]) usage`,
		`INSERT INTO master_key_signatures SELECT user_id, 'master' || user_id, user_id, device_id, device_id, 'm' FROM device_keys`,
	} {
		if _, err := h.Pool.Exec(h.T.Context(), with.Replace(sql)); err != nil {
			h.T.Fatalf("%s: %v", sql, err)
		}
	}
	for u := range users {
		ids = append(ids, fmt.Sprintf("@u%d:localhost", u+1))
	}
	return ids
}

// queried is an answer to keys/query as a client reads it.
type queried struct {
	Devices map[string]map[string]any `json:"device_keys"`
	Masters map[string]map[string]any `json:"master_keys"`
	Self    map[string]map[string]any `json:"self_signing_keys"`
	User    map[string]map[string]any `json:"user_signing_keys"`
}

// query asks for all keys of users. most is how much memory was held while the answer was
// sent.
func (h *env) query(ctx context.Context, viewer string, users ...string) (got queried, most int64, err error) {
	wanted := map[string][]string{}
	for _, user := range users {
		wanted[user] = nil
	}
	answer, err := h.Query(ctx, matrix.Session{UserID: viewer}, devicekeys.QueryRequest{DeviceKeys: wanted})
	if err != nil {
		return got, 0, err
	}
	var sent []byte
	w := reserve.NewWriter(nil, func(piece []byte) error {
		sent, most = append(sent, piece...), max(most, reserve.Used(ctx))
		return nil
	})
	if err := answer.WriteJSON(ctx, w); err != nil {
		return got, 0, err
	}
	return got, most, json.Unmarshal(append(sent, w.B...), &got)
}

// Keys of many users are sent while they are read, and are the same as if they were read at
// once.
func TestKeysOfManyUsersAreReadInParts(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil)
	users := append(h.crowd(120, 12, 5000), "@nobody:localhost")
	want, _, err := h.query(t.Context(), users[0], users...)
	h.OK(err)
	if len(want.Devices) != 120 || len(want.Masters) != 120 || len(want.Self) != 120 || len(want.User) != 1 || len(want.Devices[users[7]]) != 12 {
		t.Fatalf("%d users, %d master keys, %d self-signing keys, %d user-signing keys, %d devices of one",
			len(want.Devices), len(want.Masters), len(want.Self), len(want.User), len(want.Devices[users[7]]))
	}
	if n := len(want.Masters[users[7]]["signatures"].(map[string]any)[users[7]].(map[string]any)); n != 13 {
		t.Errorf("a master key has %d signatures", n)
	}
	for _, user := range users[10:13] { // whose keys are in memory then
		_, _, err := h.query(t.Context(), users[0], user)
		h.OK(err)
	}
	const total = 8 << 20 // below the 9 MiB of the answer
	memory := reserve.New(total, nil)
	var at errgroup.Group
	for i := range 4 {
		at.Go(func() error {
			account := memory.Open(fmt.Sprint("caller ", i))
			defer account.Close()
			got, most, err := h.query(reserve.With(t.Context(), account), users[0], users...)
			if err == nil && (!reflect.DeepEqual(got, want) || most > total/4) {
				t.Errorf("the answers differ, or %d bytes were held", most)
			}
			return err
		})
	}
	h.OK(at.Wait())
	if held := memory.Held(); held != 0 {
		t.Errorf("%d bytes are held for nobody", held)
	}
}

// A user may have very many devices, and each may have signed the master key.
func TestKeysOfOneUserWithManyDevices(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := envOn(t, nil)
	users := h.crowd(1, 1000, 5000)
	account := reserve.New(8<<20, nil).Open("")
	defer account.Close()
	got, most, err := h.query(reserve.With(t.Context(), account), "@viewer:localhost", users...)
	h.OK(err)
	if len(got.Devices[users[0]]) != 1000 || len(got.User) > 0 || most > 2<<20 {
		t.Errorf("%d devices, %d user-signing keys, for which %d bytes were held", len(got.Devices[users[0]]), len(got.User), most)
	}
}

func TestDamagedKeysAreLeftOut(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil)
	users := h.crowd(2, 2, 10)
	for _, sql := range []string{
		`UPDATE device_keys SET keys = '{"x":' WHERE device_id = 'D1' AND user_id = '@u1:localhost'`,
		`UPDATE device_keys SET keys = '{}' WHERE device_id = 'D2' AND user_id = '@u1:localhost'`,
		`UPDATE cross_signing_keys SET key = '[]' WHERE user_id = '@u1:localhost'`,
	} {
		_, err := h.Pool.Exec(t.Context(), sql)
		h.OK(err)
	}
	got, _, err := h.query(t.Context(), users[0], users...)
	h.OK(err)
	if len(got.Devices[users[0]]) != 0 || len(got.Devices[users[1]]) != 2 || len(got.Masters) != 1 || len(got.Self) != 1 || len(got.User) != 0 {
		t.Errorf("shown: %v", got)
	}
}

// Keys are read once for all viewers, but for what only one viewer sees. Users who do not exist
// take no memory.
func TestKeysAreReadOnce(t *testing.T) {
	t.Parallel()
	first := envOn(t, nil)
	users := first.crowd(3, 2, 10)
	pool, sent := plantest.Record(t, first.Pool)
	h := envOn(t, pool)
	h.OK(h.Journal.ShowPosted(t.Context())) // it looks into the outbox when it starts
	ask := func(viewer string, statements int, users ...string) queried {
		t.Helper()
		sent.Take()
		got, _, err := h.query(t.Context(), viewer, users...)
		h.OK(err)
		if list := sent.Take(); len(list) != statements {
			t.Errorf("%s asks with %d statements, want %d: %v", viewer, len(list), statements, list)
		}
		return got
	}
	want := ask("@viewer:localhost", 5, users[:2]...)
	if got := ask(users[2], 1, users[:2]...); !reflect.DeepEqual(got, want) {
		t.Errorf("another is shown %v, want %v", got, want)
	}
	if got := ask(users[0], 2, users[:2]...); len(got.Devices) != 2 || len(got.User) != 1 {
		t.Errorf("one of them is shown %v", got)
	}
	if got := ask(users[0], 5, users[1:]...); len(got.Devices) != 2 || len(got.Masters) != 2 {
		t.Errorf("of one who is known and one who is not are shown %v", got)
	}
	ask(users[0], 1, "@nobody:localhost")
	if n := h.Caches()["public_keys"]().Entries; n != 3 {
		t.Errorf("%d users are in memory", n)
	}
}

// The keys of some users are read by looks at theirs, and never by one through all keys: by plans
// that were kept from when there were none, and by later ones.
func TestPlansOfReadingKeys(t *testing.T) {
	t.Parallel()
	const asked, all = 10, 2000
	first := envOn(t, nil)
	pool, sent := plantest.Record(t, first.Pool)
	h := envOn(t, pool)
	h.OK(h.Journal.ShowPosted(t.Context()))
	session := plantest.NewSession(t, h.Pool)
	for _, table := range []string{"accounts", "devices", "device_keys", "cross_signing_keys", "master_key_signatures"} {
		session.Exec(`ALTER TABLE ` + table + ` SET (autovacuum_enabled = off)`)
	}
	users := first.crowd(asked, 1, 10)
	sent.Take()
	_, _, err := h.query(t.Context(), users[0], users...)
	h.OK(err)
	statements := sent.Take()
	if len(statements) != 6 {
		t.Fatalf("%d statements: %v", len(statements), statements)
	}
	for _, q := range statements {
		session.Plan(q)
	}
	_, err = h.Pool.Exec(t.Context(), `DELETE FROM accounts; DELETE FROM cross_signing_keys; DELETE FROM master_key_signatures`)
	h.OK(err)
	first.crowd(all, 1, 10)
	check := func(statistics string) {
		t.Helper()
		for _, q := range statements {
			if plan := session.Run(q); plan.Looked() > 5*asked {
				t.Errorf("%s, %d rows are looked at:\n%s\n%s", statistics, plan.Looked(), q.SQL, plan)
			}
		}
	}
	check("planned for few keys")
	session.Exec(`ANALYZE accounts, devices, device_keys, cross_signing_keys, master_key_signatures`)
	check("with statistics")
}
