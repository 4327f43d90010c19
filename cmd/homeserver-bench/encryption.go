package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// encryption measures what an encrypted room of many devices asks of the server: a key for each device, sent
// to all of them, and the keys that this takes.
type encryption struct {
	h       *house
	users   []user // each with one device; the first ones send
	txns    atomic.Int64
	letters string // a message to a device, beside its frame
}

// bareKeyTables are copies of the tables that the ceilings write.
const bareKeyTables = `
	CREATE TABLE bare_to_device (LIKE to_device INCLUDING ALL);
	CREATE TABLE bare_one_time_keys (LIKE one_time_keys INCLUDING ALL);
	INSERT INTO bare_one_time_keys SELECT * FROM one_time_keys`

// requestsOfClaims is in how many requests the one-time keys are claimed, of each device one in each.
const requestsOfClaims = 10

func newEncrypting(h *house) *family {
	e := &encryption{h: h}
	n := h.size.devices
	return &family{
		key: "encrypt", name: fmt.Sprintf("An encrypted room of %d devices", n), prepare: e.prepare,
		ceiling: "one bare statement that writes, reads or claims the same rows, without a network between",
		cases: []testCase{
			{name: fmt.Sprintf("a message to each of %d devices", n), run: func(ctx context.Context) ([]Figure, error) { return e.send(ctx, 1) }},
			{name: fmt.Sprintf("a message to each of %d devices, 8 at once", n), run: func(ctx context.Context) ([]Figure, error) { return e.send(ctx, 8) }},
			{name: fmt.Sprintf("keys/query for %d users", n), run: e.query},
			{name: fmt.Sprintf("%d one-time keys in %d requests", n*requestsOfClaims, requestsOfClaims), run: e.claim},
		},
	}
}

// prepare makes users whose devices have keys, as clients upload them.
func (e *encryption) prepare(ctx context.Context) (err error) {
	h := e.h
	const letters = 600 // bytes in base64: as a room key in an Olm message
	random := make([]byte, letters)
	_, _ = rand.Read(random)
	e.letters = base64.RawStdEncoding.EncodeToString(random)
	if e.users, err = h.accounts(ctx, "encrypter", h.size.devices); err != nil {
		return err
	}
	ids := make([]string, len(e.users))
	for i, u := range e.users {
		ids[i] = u.id
	}
	const key, signature = "'qjZbZ7OBRwzo2ZFSfJSWcW4dHOAMxMHRIwUhxxLFYRg'", "'IWrOsJHjIlFZDLqBaL/IJ0DsbG0xIH3LbjNyvGqJKTnK8lIVG1vG6GZYpUnsP3cCoVbfMYKXtzU9T2A3gf7UAw'"
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO device_keys (user_id, device_id, keys, signature)
		SELECT u, 'BENCHMARK', '{"algorithms":["m.olm.v1.curve25519-aes-sha2","m.megolm.v1.aes-sha2"],"device_id":"BENCHMARK","keys":{"curve25519:BENCHMARK":"' ||
			`+key+` || '","ed25519:BENCHMARK":"' || `+key+` || '"},"user_id":"' || u || '"}', `+signature+` FROM unnest($1::text[]) u`, ids)
	b.Queue(`INSERT INTO cross_signing_keys (user_id, usage, public_key, key, signature)
		SELECT u, usage, `+key+`, '{"keys":{"ed25519:' || `+key+` || '":"' || `+key+` || '"},"usage":["' || usage || '"],"user_id":"' || u || '"}', `+signature+`
		FROM unnest($1::text[]) u, unnest('{master,self_signing}'::text[]) usage`, ids)
	b.Queue(`INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, hash)
		SELECT u, 'BENCHMARK', 'signed_curve25519', 'AAAA' || n, '{"key":"' || `+key+` || '","signatures":{"' || u || '":{"ed25519:BENCHMARK":"' || `+signature+` || '"}}}',
			sha256(convert_to(u || n, 'UTF8'))
		FROM unnest($1::text[]) u, generate_series(1, $2::int) n ORDER BY n`, ids, requestsOfClaims*h.size.turns)
	if err := h.pool.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	if _, err := h.pool.Exec(ctx, bareKeyTables); err != nil {
		return fmt.Errorf("make the tables of the ceilings: %w", err)
	}
	return nil
}

// send measures how n users at once send a message to each device, again and again.
func (e *encryption) send(ctx context.Context, n int) ([]Figure, error) {
	clients, err := e.h.connections(ctx, e.users[:n])
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	content := `{"algorithm":"m.olm.v1.curve25519-aes-sha2","ciphertext":{"qjZbZ7OBRwzo2ZFSfJSWcW4dHOAMxMHRIwUhxxLFYRg":{"body":"` + e.letters +
		`","type":0}},"sender_key":"qjZbZ7OBRwzo2ZFSfJSWcW4dHOAMxMHRIwUhxxLFYRg"}`
	bodies := make([]string, len(e.users))
	to, contents := make([]string, len(e.users)), make([][]byte, len(e.users))
	for i, u := range e.users {
		bodies[i] = fmt.Sprintf(`%q:{"BENCHMARK":%s}`, u.id, content)
		to[i], contents[i] = u.id, []byte(content)
	}
	body := `{"messages":{` + strings.Join(bodies, ",") + `}}`
	m, y, err := e.h.race(ctx, n,
		func(sender int) error {
			_, err := clients[sender].do(http.MethodPut, fmt.Sprintf(api+"/sendToDevice/m.room.encrypted/%d", e.txns.Add(1)), body)
			return err
		},
		func(int) error {
			_, err := e.h.pool.Exec(ctx, `
				INSERT INTO bare_to_device (user_id, device_id, position, device_created_at, sender, type, content)
				SELECT m.user_id, 'BENCHMARK', $1, 0, '@encrypter0:localhost', 'm.room.encrypted', m.content
				FROM unnest($2::text[], $3::bytea[]) m (user_id, content)`, e.txns.Add(1), to, contents)
			return err
		})
	figures := append([]Figure{{"messages", PerSecond, m.rate() * float64(len(to)), y.rate() * float64(len(to))}}, answering(&m, &y, y.used.here)...)
	return figures, err
}

// query asks for the keys of all users.
func (e *encryption) query(ctx context.Context) ([]Figure, error) {
	c, err := dial(ctx, e.h.server.address, e.users[0].token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	ids, wanted := make([]string, len(e.users)), make([]string, len(e.users))
	for i, u := range e.users {
		ids[i], wanted[i] = u.id, fmt.Sprintf(`%q:[]`, u.id)
	}
	body := `{"device_keys":{` + strings.Join(wanted, ",") + `}}`
	m, y, err := e.h.race(ctx, 1,
		func(int) error {
			_, err := c.do(http.MethodPost, api+"/keys/query", body)
			return err
		},
		func(int) error {
			return e.h.read(ctx, `
				SELECT keys || signature FROM device_keys WHERE user_id = ANY($1)
				UNION ALL SELECT key || signature FROM cross_signing_keys WHERE user_id = ANY($1)`, ids)
		})
	return answering(&m, &y, y.used.here), err
}

// claim claims a one-time key of each device, in several requests.
func (e *encryption) claim(ctx context.Context) ([]Figure, error) {
	c, err := dial(ctx, e.h.server.address, e.users[0].token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	ids, wanted := make([]string, len(e.users)), make([]string, len(e.users))
	for i, u := range e.users {
		ids[i], wanted[i] = u.id, fmt.Sprintf(`%q:{"BENCHMARK":"signed_curve25519"}`, u.id)
	}
	body := `{"one_time_keys":{` + strings.Join(wanted, ",") + `}}`
	var m, y run
	for range e.h.size.turns {
		bare, err := e.h.sprint(ctx, func() error { return e.bareClaim(ctx, ids) })
		if err != nil {
			return nil, err
		}
		y.join(bare)
		served, err := e.h.sprint(ctx, func() error {
			_, err := c.do(http.MethodPost, api+"/keys/claim", body)
			return err
		})
		if err != nil {
			return nil, err
		}
		m.join(served)
	}
	var left int
	if err := e.h.pool.QueryRow(ctx, `SELECT count(*) FROM one_time_keys WHERE key IS NOT NULL`).Scan(&left); err != nil {
		return nil, fmt.Errorf("count the keys that are left: %w", err)
	}
	if left != 0 {
		return nil, fmt.Errorf("%d keys were not claimed", left)
	}
	figures := append([]Figure{{"keys", PerSecond, m.rate() * float64(len(ids)), y.rate() * float64(len(ids))}}, answering(&m, &y, y.used.here)...)
	return figures, nil
}

// bareClaim takes the first key of each device that is left.
func (e *encryption) bareClaim(ctx context.Context, ids []string) error {
	return e.h.read(ctx, `
		WITH picked AS (
			SELECT k.* FROM unnest($1::text[]) w (user_id) CROSS JOIN LATERAL (
				SELECT * FROM bare_one_time_keys o
				WHERE o.user_id = w.user_id AND o.device_id = 'BENCHMARK' AND o.algorithm = 'signed_curve25519' AND o.key IS NOT NULL
				ORDER BY number LIMIT 1) k
		), taken AS (
			UPDATE bare_one_time_keys o SET key = NULL FROM picked p
			WHERE o.user_id = p.user_id AND o.device_id = p.device_id AND o.algorithm = p.algorithm AND o.key_id = p.key_id
		)
		SELECT key FROM picked`, ids)
}

// sprint does something as often as one-time keys are claimed.
func (h *house) sprint(ctx context.Context, do func() error) (run, error) {
	r := run{}
	before, started := h.usage(), time.Now()
	for range requestsOfClaims {
		begun := time.Now()
		if err := do(); err != nil {
			return r, err
		}
		r.latencies = append(r.latencies, time.Since(begun))
	}
	r.took = time.Since(started)
	if err := h.settle(ctx); err != nil {
		return r, err
	}
	r.used = h.usage().sub(before)
	slices.Sort(r.latencies)
	return r, nil
}
