package api

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

const dehydratedPath = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"

// dehydrated makes the keys of a device that a client is about to dehydrate.
func dehydrated(c *matrixtest.Client) *cryptoDevice {
	d := newCrypto(c)
	own := *c
	own.DeviceID = d.curve // as the proposal wants it
	d.Client = &own
	return d
}

// dehydration is a request that dehydrates the device, with some members set otherwise.
func (d *cryptoDevice) dehydration(changes map[string]any) map[string]any {
	d.T.Helper()
	keys := d.unsignedKeys()
	keys["dehydrated"] = true
	body := map[string]any{
		"device_id": d.DeviceID, "device_data": map[string]any{"algorithm": "org.matrix.msc3814.v2", "device_pickle": "sealed " + d.DeviceID, "nonce": "n"},
		"initial_device_display_name": "Dehydrated device", "device_keys": d.sign(keys),
		"one_time_keys": d.oneTime(2), "fallback_keys": d.fallback("f"),
	}
	maps.Copy(body, changes)
	return body
}

func TestDehydratedDevice(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	for _, method := range []string{"GET", "DELETE"} {
		alice.Do(method, dehydratedPath, nil).Refused(404, "M_NOT_FOUND")
	}
	first, second := dehydrated(alice), dehydrated(alice)
	for _, d := range []*cryptoDevice{first, second} {
		body := d.dehydration(nil)
		sameJSON(t, "the answer", alice.Do("PUT", dehydratedPath, body).OK().At(), map[string]any{"device_id": d.DeviceID})
		sameJSON(t, "what is read", alice.Do("GET", dehydratedPath, nil).OK().At(),
			map[string]any{"device_id": d.DeviceID, "device_data": body["device_data"]})
		found, _ := query(bob, alice.UserID).At("device_keys", alice.UserID).(map[string]any)
		keys, _ := found[d.DeviceID].(map[string]any)
		if len(found) != 1 || keys["dehydrated"] != true {
			t.Errorf("others see %v", found)
		}
		if name := alice.Do("GET", matrixtest.Path("devices", d.DeviceID), nil).OK().String("display_name"); name != "Dehydrated device" {
			t.Errorf("the device is called %q", name)
		}
	}
	alice.Do("GET", matrixtest.Path("devices", first.DeviceID), nil).Refused(404, "M_NOT_FOUND")
	claim := map[string]any{"one_time_keys": map[string]any{alice.UserID: map[string]any{second.DeviceID: "signed_curve25519"}}}
	for _, want := range []string{"000001", "000002", "f", "f"} { // the last two are the fallback key
		claimed, _ := bob.Do("POST", "/keys/claim", claim).OK().At("one_time_keys", alice.UserID, second.DeviceID).(map[string]any)
		if claimed["signed_curve25519:"+want] == nil || len(claimed) != 1 {
			t.Errorf("claimed %v, want the key %s", claimed, want)
		}
	}
	bob.Do("GET", dehydratedPath, nil).Refused(404, "M_NOT_FOUND")
	bob.Do("DELETE", dehydratedPath, nil).Refused(404, "M_NOT_FOUND")

	again := second.dehydration(map[string]any{"device_data": map[string]any{"changed": true}})
	alice.Do("PUT", dehydratedPath, again).OK()
	if got := alice.Do("GET", dehydratedPath, nil).OK().At("device_data", "changed"); got != true {
		t.Errorf("the same device again: %v", got)
	}
	sameJSON(t, "what was deleted", alice.Do("DELETE", dehydratedPath, nil).OK().At(), map[string]any{"device_id": second.DeviceID})
	alice.Do("GET", dehydratedPath, nil).Refused(404, "M_NOT_FOUND")
	sameJSON(t, "what others see then", query(bob, alice.UserID).At("device_keys", alice.UserID), map[string]any{})

	alice.Do("PUT", dehydratedPath, first.dehydration(nil)).OK()
	alice.Do("POST", "/logout/all", nil).OK()
	anyone.Login("alice", "wordpass").Do("GET", dehydratedPath, nil).Refused(404, "M_NOT_FOUND")
}

// Somebody who logs in to a dehydrated device stays logged in to it.
func TestLoginEndsDehydration(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	d := dehydrated(alice)
	alice.Do("PUT", dehydratedPath, d.dehydration(nil)).OK()
	in := *alice
	in.Token = anyone.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "user": "alice", "password": "wordpass", "device_id": d.DeviceID,
	}).OK().String("access_token")
	in.Do("DELETE", dehydratedPath, nil).Refused(404, "M_NOT_FOUND")
	in.Do("PUT", dehydratedPath, d.dehydration(nil)).Refused(400, "M_INVALID_PARAM")
	in.Do("PUT", dehydratedPath, dehydrated(alice).dehydration(nil)).OK()
	in.Do("GET", "/account/whoami", nil).OK()
}

func TestDehydratedDeviceRefusals(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	alice.Do("PUT", dehydratedPath, dehydrated(alice).dehydration(nil)).OK()
	kept := alice.Do("GET", dehydratedPath, nil).OK().At()
	d, other := dehydrated(alice), dehydrated(alice)
	unsigned := d.unsignedKeys()
	for _, test := range []struct {
		changes map[string]any
		status  int
		code    string
	}{
		{map[string]any{"device_id": nil}, 400, "M_MISSING_PARAM"},
		{map[string]any{"device_id": 1}, 400, "M_BAD_JSON"},
		{map[string]any{"device_id": ""}, 400, "M_INVALID_PARAM"},
		{map[string]any{"device_id": strings.Repeat("d", 300)}, 400, "M_INVALID_PARAM"},
		{map[string]any{"device_id": other.DeviceID}, 400, "M_INVALID_PARAM"},
		{map[string]any{"device_data": nil}, 400, "M_MISSING_PARAM"},
		{map[string]any{"device_data": "x"}, 400, "M_BAD_JSON"},
		{map[string]any{"device_data": map[string]any{"x": strings.Repeat("x", 64<<10)}}, 413, "M_TOO_LARGE"},
		{map[string]any{"initial_device_display_name": 1}, 400, "M_BAD_JSON"},
		{map[string]any{"initial_device_display_name": strings.Repeat("n", 300)}, 400, "M_INVALID_PARAM"},
		{map[string]any{"device_keys": nil}, 400, "M_MISSING_PARAM"},
		{map[string]any{"device_keys": "x"}, 400, "M_BAD_JSON"},
		{map[string]any{"device_keys": unsigned}, 400, "M_MISSING_PARAM"},
		{map[string]any{"device_keys": sign(t, unsigned, alice.UserID, d.DeviceID, other.key)}, 400, "M_INVALID_SIGNATURE"},
		{map[string]any{"one_time_keys": other.oneTime(1)}, 400, "M_INVALID_SIGNATURE"},
		{map[string]any{"one_time_keys": []any{}}, 400, "M_BAD_JSON"},
		{map[string]any{"fallback_keys": map[string]any{"x": "y"}}, 400, "M_INVALID_PARAM"},
	} {
		alice.Do("PUT", dehydratedPath, d.dehydration(test.changes)).Refused(test.status, test.code)
	}
	// A device that somebody is logged in to is not one to be dehydrated.
	own := newCrypto(alice)
	alice.Do("PUT", dehydratedPath, own.dehydration(nil)).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", "/account/whoami", nil).OK()
	sameJSON(t, "after all refusals", alice.Do("GET", dehydratedPath, nil).OK().At(), kept)
}

// TestMessagesToADehydratedDevice reads them in both forms that clients use, and again.
func TestMessagesToADehydratedDevice(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	d := dehydrated(alice)
	path := dehydratedPath + matrixtest.Path(d.DeviceID, "events")
	for _, method := range []string{"GET", "POST"} {
		alice.Do(method, path, nil).Refused(403, "M_FORBIDDEN")
	}
	alice.Do("PUT", dehydratedPath, d.dehydration(nil)).OK()
	const sent = 5
	for i := range sent {
		content := map[string]any{"n": i}
		bob.Do("PUT", matrixtest.Path("sendToDevice", "m.room.encrypted", fmt.Sprint(i)),
			map[string]any{"messages": map[string]any{alice.UserID: map[string]any{d.DeviceID: content, "NOBODY": content}}}).OK()
	}
	later := anyone.Login("alice", "wordpass")
	for range 2 { // for another device that takes over when the first has failed
		for _, limit := range []int{1, 2, 5, 100} {
			wantNumbers(t, readMessages(t, sent, func(from string) *matrixtest.Response {
				return later.Do("GET", fmt.Sprintf("%s?limit=%d&from=%s", path, limit, from), nil)
			}), sent)
			wantNumbers(t, readMessages(t, sent+1, func(from string) *matrixtest.Response {
				return alice.Do("POST", fmt.Sprintf("%s?limit=%d", path, limit), map[string]any{"next_batch": from})
			}), sent)
		}
	}
	for _, c := range []*matrixtest.Client{alice, later} {
		if got := c.Sync("").At("to_device", "events"); len(got.([]any)) != 0 {
			t.Errorf("another device gets %v", got)
		}
	}
	alice.Do("GET", path+"?from=x", nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", path+"?limit=-1", nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("POST", path, `{"next_batch":"-1"}`).Refused(400, "M_INVALID_PARAM")
	alice.Do("POST", path, `{"next_batch":1}`).Refused(400, "M_BAD_JSON")
	bob.Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	alice.Do("GET", dehydratedPath+matrixtest.Path(alice.DeviceID, "events"), nil).Refused(403, "M_FORBIDDEN")

	alice.Do("PUT", dehydratedPath, d.dehydration(nil)).OK()
	if got := alice.Do("GET", path, nil).OK().At("events").([]any); len(got) != 0 {
		t.Errorf("a new device of the same ID gets %v", got)
	}
}

// readMessages reads messages until there are no more, as clients do: until an answer has no
// next_batch, or no events.
func readMessages(t *testing.T, most int, get func(from string) *matrixtest.Response) (all []any) {
	t.Helper()
	for from := ""; ; {
		answer := get(from).OK()
		events, _ := answer.At("events").([]any)
		all = append(all, events...)
		if from = answer.String("next_batch"); from == "" || len(events) == 0 {
			return all
		}
		if most--; most < 0 {
			t.Fatal("it does not end")
		}
	}
}

// wantNumbers fails the test unless there are messages with the numbers from 0.
func wantNumbers(t *testing.T, events []any, n int) {
	t.Helper()
	want := []any{}
	for i := range n {
		want = append(want, map[string]any{"sender": "@bob:localhost", "type": "m.room.encrypted", "content": map[string]any{"n": float64(i)}})
	}
	sameJSON(t, "the messages", events, want)
}
