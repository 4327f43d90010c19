//go:build goolm

package server

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"homeserver/internal/matrixtest"
)

const dehydratedPath = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"

// TestDehydratedDeviceWithARealClient sends messages to a user who is logged in nowhere, and reads them on
// the next device, with the keys that the dehydrated one was sent meanwhile.
func TestDehydratedDeviceWithARealClient(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cfg := testConfig(t)
	s := mustStart(t, cfg)
	for _, name := range []string{"alice", "bob"} {
		clientAt(t, s, 0).Register(name, "wordpass")
	}
	alice, bob := newDevice(t, s, "alice"), newDevice(t, s, "bob")
	room := encryptedRoom(alice, bob)
	sleeper := alice.dehydrate()
	_, err := alice.Logout(t.Context())
	alice.ok(err)
	bob.sync()
	said := map[id.EventID]string{}
	for _, text := range []string{"Are you there?", "When you wake up, read this"} {
		said[bob.say(room, text)] = text
	}

	shutDown(t, s)
	s = mustStart(t, cfg)
	phone := newDevice(t, s, "alice")
	if phone.history(room); len(phone.texts) > 0 {
		t.Fatalf("without the dehydrated device %v is read", phone.texts)
	}
	client := matrixtest.At(t, s.Addresses()[0].URL(), http.DefaultClient)
	client.Token = phone.AccessToken
	var found struct {
		DeviceID string `json:"device_id"`
	}
	client.Do("GET", dehydratedPath, nil).OK().Into(&found)
	var waiting struct{ Events []*event.Event }
	client.Do("GET", dehydratedPath+matrixtest.Path(found.DeviceID, "events"), nil).OK().Into(&waiting)
	for _, e := range waiting.Events {
		e.Type.Class = event.ToDeviceEventType
		phone.ok(e.Content.ParseRaw(e.Type))
		sleeper.HandleToDeviceEvent(t.Context(), e)
	}
	phone.machine = sleeper
	phone.history(room)
	phone.wantRead(said)
}

// dehydrate makes a dehydrated device with keys of its own.
func (d *device) dehydrate() *crypto.OlmMachine {
	d.t.Helper()
	client, err := mautrix.NewClient(d.HomeserverURL.String(), d.UserID, d.AccessToken)
	d.ok(err)
	client.DeviceID = "DEHYDRATED"
	client.Client = &http.Client{Transport: dehydration{client.DeviceID}}
	machine := crypto.NewOlmMachine(client, nil, crypto.NewMemoryStore(nil), d.StateStore.(crypto.StateStore))
	d.ok(machine.Load(d.t.Context()))
	d.ok(machine.ShareKeys(d.t.Context(), 0))
	return machine
}

// dehydration sends the upload of a device's keys as the request that dehydrates the device.
type dehydration struct{ deviceID id.DeviceID }

// RoundTrip implements http.RoundTripper.
func (d dehydration) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/keys/upload") {
		return http.DefaultTransport.RoundTrip(r)
	}
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body := map[string]any{}
	if err := json.Unmarshal(sent, &body); err != nil {
		return nil, err
	}
	maps.Copy(body, map[string]any{"device_id": d.deviceID, "device_data": map[string]any{"algorithm": "org.example"}})
	if sent, err = json.Marshal(body); err != nil {
		return nil, err
	}
	put, err := http.NewRequestWithContext(r.Context(), http.MethodPut, "http://"+r.URL.Host+dehydratedPath, bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	put.Header = r.Header.Clone()
	return http.DefaultTransport.RoundTrip(put)
}
