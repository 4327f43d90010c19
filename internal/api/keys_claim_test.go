package api

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrixtest"
)

// claim asks for a key of each of the devices, and returns the ID of the key of each by
// device, and the keys by their IDs.
func claimFrom(c *matrixtest.Client, algorithm string, devices ...*cryptoDevice) (ids map[string]string, keys map[string]any) {
	c.T.Helper()
	wanted := map[string]map[string]string{}
	for _, d := range devices {
		if wanted[d.UserID] == nil {
			wanted[d.UserID] = map[string]string{}
		}
		wanted[d.UserID][d.DeviceID] = algorithm
	}
	var answer struct {
		Keys map[string]map[string]map[string]any `json:"one_time_keys"`
	}
	c.Do("POST", "/keys/claim", map[string]any{"one_time_keys": wanted, "timeout": 10_000}).OK().Into(&answer)
	ids, keys = map[string]string{}, map[string]any{}
	for _, byDevice := range answer.Keys {
		for device, one := range byDevice {
			for id, key := range one {
				ids[device], keys[id] = id, key
			}
		}
	}
	return ids, keys
}

func TestOneTimeKeysAreClaimedInTheOrderOfUpload(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	phone, laptop := encrypting(alice), encrypting(anyone.Login("alice", "wordpass"))
	phone.number = 9 // a later one has a smaller ID
	uploaded := phone.oneTime(1)
	phone.upload(map[string]any{"one_time_keys": uploaded}).OK()
	phone.number = 0
	later := phone.oneTime(2)
	phone.upload(map[string]any{"one_time_keys": later}).OK()
	maps.Copy(uploaded, later)
	laptop.number = 100
	others := laptop.oneTime(1)
	laptop.upload(map[string]any{"one_time_keys": others}).OK()
	maps.Copy(uploaded, others)

	var order []string
	for range 4 {
		ids, keys := claimFrom(bob, "signed_curve25519", phone, laptop)
		for id, key := range keys {
			sameJSON(t, id, key, uploaded[id])
		}
		order = append(order, ids[phone.DeviceID])
		if len(order) > 1 && ids[laptop.DeviceID] != "" {
			t.Errorf("the only key was given out twice")
		}
	}
	if first := order[0]; first != "signed_curve25519:000010" || order[3] != "" {
		t.Errorf("in the order %q", order)
	}
	slices.Sort(order)
	if len(slices.Compact(order)) != 4 {
		t.Errorf("a key was given out twice: %q", order)
	}
	keysLeft(t, phone.Sync(""), map[string]any{"signed_curve25519": 0})
}

// What was given out is not taken in again from a client that has not got its answer, but
// another key may have the ID.
func TestClaimedKeyIsNotGivenOutAgain(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone, bob := encrypting(anyone.Register("alice", "wordpass")), anyone.Register("bob", "wordpass")
	keys := map[string]any{"one_time_keys": phone.oneTime(1)}
	phone.upload(keys).OK()
	claimFrom(bob, "signed_curve25519", phone)
	sameJSON(t, "after a repetition", phone.upload(keys).OK().At("one_time_key_counts"), map[string]any{"signed_curve25519": 0})
	phone.number = 0
	other := phone.oneTime(1)
	phone.upload(map[string]any{"one_time_keys": other}).OK()
	_, got := claimFrom(bob, "signed_curve25519", phone)
	sameJSON(t, "key", got, other)
}

func TestFallbackKeyIsGivenOutWhenNoOtherIsLeft(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone, bob := encrypting(anyone.Register("alice", "wordpass")), anyone.Register("bob", "wordpass")
	oneTime, fallback := phone.oneTime(1), phone.fallback("F1")
	phone.upload(map[string]any{"one_time_keys": oneTime, "org.matrix.msc2732.fallback_keys": fallback}).OK()
	none := map[string]any{"signed_curve25519": 0}
	_, got := claimFrom(bob, "signed_curve25519", phone)
	sameJSON(t, "first", got, oneTime)
	keysLeft(t, phone.Sync(""), none, "signed_curve25519")
	for range 2 {
		_, got = claimFrom(bob, "signed_curve25519", phone)
		sameJSON(t, "then", got, fallback)
		keysLeft(t, phone.Sync(""), none)
	}
	phone.upload(map[string]any{"fallback_keys": fallback}).OK()
	keysLeft(t, phone.Sync(""), none) // it was used, and a repetition does not change that
	next := phone.fallback("F2")
	phone.upload(map[string]any{"fallback_keys": next}).OK()
	keysLeft(t, phone.Sync(""), none, "signed_curve25519")
	_, got = claimFrom(bob, "signed_curve25519", phone)
	sameJSON(t, "after a new one", got, next)

	if _, got := claimFrom(bob, "curve25519", phone); len(got) > 0 {
		t.Errorf("of another algorithm: %v", got)
	}
}

func TestBadClaims(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	bob := anyone.Register("bob", "wordpass")
	for body, code := range map[string]string{
		`{}`:                                 "M_MISSING_PARAM",
		`{"one_time_keys":null}`:             "M_MISSING_PARAM",
		`{"one_time_keys":[]}`:               "M_BAD_JSON",
		`{"one_time_keys":{"@a:b":[]}}`:      "M_BAD_JSON",
		`{"one_time_keys":{"@a:b":{"D":1}}}`: "M_BAD_JSON",
		`{"one_time_keys":{"a":{}}}`:         "M_INVALID_PARAM",
		`{"one_time_keys":{},"timeout":-1}`:  "M_INVALID_PARAM",
		`{"one_time_keys":{},"timeout":""}`:  "M_BAD_JSON",
		`{"one_time_keys":{"@bob:localhost":{` + strings.TrimSuffix(manyDevices(10_001), ",") + `}}}`: "M_INVALID_PARAM",
	} {
		bob.Do("POST", "/keys/claim", body).Refused(400, code)
	}
	answer := bob.Do("POST", "/keys/claim", `{"one_time_keys":{"@x:elsewhere.example":{"D":"a"},"@x:localhost":{"D":"a"},"@bob:localhost":{"D":"a"}}}`).OK()
	sameJSON(t, "keys", answer.At("one_time_keys"), map[string]any{})
	if answer.At("failures", "elsewhere.example") == nil {
		t.Errorf("no failure: %s", answer.Body)
	}
}

// manyDevices are members of the object that claims from devices.
func manyDevices(n int) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(`"D` + strings.Repeat("x", i%7) + string(rune('a'+i/7%26)) + string(rune('a'+i/182%26)) + string(rune('a'+i/4732)) + `":"a",`)
	}
	return all.String()
}

// A claim of many devices counts as many changes.
func TestClaimsOfManyDevicesAreLimited(t *testing.T) {
	t.Parallel()
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.Changes: {PerSecond: 0.001, Burst: 20}}, time.Now, 0)
	bob := newLimitedServer(t, limits).Register("bob", "wordpass")
	many := `{"one_time_keys":{"@bob:localhost":{` + strings.TrimSuffix(manyDevices(1000), ",") + `}}}`
	bob.Do("POST", "/keys/claim", many).OK() // 11 of 20
	wantLimited(t, bob.Do("POST", "/keys/claim", many))
	bob.Do("POST", "/keys/claim", `{"one_time_keys":{"@bob:localhost":{"D":"a"}}}`).OK()
}
