package devicekeys

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/reserve"
)

// QueryAnswer is the answer to POST /keys/query, which writes itself.
type QueryAnswer struct {
	viewer      string
	users       []string            // those that there are on this server, in order
	devicesOf   map[string][]string // the devices that were asked for; none: all
	devices     *byUser[*shownDevice]
	masters     *byUser[*shownKey]
	selfSigning *byUser[*shownKey]
	userSigning *byUser[*shownKey]
	remote      RemoteKeys
	failures    Failures
}

// shownDevice is a device as it is read for others.
type shownDevice struct {
	UserID, DeviceID        string
	Keys                    []byte
	Signature               string
	SignedBy, SelfSignature string
	DisplayName             string
}

func (d *shownDevice) user() string { return d.UserID }
func (d *shownDevice) text() []byte { return d.Keys }
func (d *shownDevice) row() string  { return "keys of the device " + d.DeviceID + " of " + d.UserID }

// cost is about how much memory a device takes, once as it is and once as it is written.
func (d *shownDevice) cost() int { return 2*len(d.Keys) + besideDevice }

// shownKey is a cross-signing key as it is read for others, with the signatures that the
// viewer may see.
type shownKey struct {
	UserID, PublicKey string
	Key               []byte
	SignedBy          string // the master key
	Signature         string
	// The signatures of devices of the owner, and of the viewer's user-signing key.
	Signers, KeyIDs, Signatures []string
}

func (k *shownKey) user() string { return k.UserID }
func (k *shownKey) text() []byte { return k.Key }
func (k *shownKey) row() string  { return "cross-signing key " + k.PublicKey + " of " + k.UserID }

func (k *shownKey) cost() int { return 2*len(k.Key) + besideKey + len(k.Signers)*besideSignature }

// WriteJSON writes the answer.
func (a *QueryAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"device_keys":{`...)
	if err := a.writeDevices(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, `},"failures":`...)
	w.B = appendFailures(w.B, a.failures)
	for _, member := range []struct {
		name   string
		keys   *byUser[*shownKey]
		remote map[string]json.RawMessage
	}{
		{"master_keys", a.masters, a.remote.Masters}, {"self_signing_keys", a.selfSigning, a.remote.SelfSigning},
		{"user_signing_keys", a.userSigning, nil},
	} {
		w.B = append(w.B, `,"`+member.name+`":{`...)
		if err := a.writeKeys(ctx, w, member.keys, member.remote); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, '}')
	return nil
}

func (a *QueryAnswer) writeDevices(ctx context.Context, w *reserve.Writer) error {
	defer a.devices.done(ctx)
	users := members{w: w}
	for _, userID := range a.users {
		users.begin(userID)
		w.B = append(w.B, '{')
		if err := a.writeDevicesOf(ctx, w, userID); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	for _, userID := range slices.Sorted(maps.Keys(a.remote.Devices)) {
		users.begin(userID)
		w.B = append(w.B, '{')
		if err := (&members{w: w}).addRaw(a.remote.Devices[userID]); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	return nil
}

// writeDevicesOf writes the devices of a user of this server that were asked for.
func (a *QueryAnswer) writeDevicesOf(ctx context.Context, w *reserve.Writer, userID string) error {
	list, wanted := members{w: w}, a.devicesOf[userID]
	for devices, err := range a.devices.of(ctx, userID) {
		if err != nil {
			return err
		}
		for _, d := range devices {
			if len(wanted) > 0 && !slices.Contains(wanted, d.DeviceID) {
				continue
			}
			list.begin(d.DeviceID)
			w.B = d.appendJSON(w.B)
			if err := w.Pass(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *shownDevice) appendJSON(dst []byte) []byte {
	own := signatures{userID: d.UserID}
	own.add(d.DeviceID, d.Signature)
	own.add(d.SignedBy, d.SelfSignature)
	dst = append(appendSignatures(dst, d.Keys, []signatures{own}), `,"unsigned":{`...)
	if d.DisplayName != "" {
		dst = event.AppendString(append(dst, `"device_display_name":`...), d.DisplayName)
	}
	return append(dst, `}}`...)
}

func (a *QueryAnswer) writeKeys(ctx context.Context, w *reserve.Writer, list *byUser[*shownKey], remote map[string]json.RawMessage) error {
	defer list.done(ctx)
	users := members{w: w}
	for _, userID := range a.users {
		for keys, err := range list.of(ctx, userID) {
			if err != nil {
				return err
			}
			for _, k := range keys {
				users.begin(userID)
				w.B = k.appendJSON(w.B, a.viewer)
				if err := w.Pass(); err != nil {
					return err
				}
			}
		}
	}
	return users.addRaw(remote)
}

func (k *shownKey) appendJSON(dst []byte, viewer string) []byte {
	own, viewers := signatures{userID: k.UserID}, signatures{userID: viewer}
	own.add(k.SignedBy, k.Signature)
	for i, signer := range k.Signers {
		if signer == k.UserID {
			own.add(k.KeyIDs[i], k.Signatures[i])
		} else {
			viewers.add(k.KeyIDs[i], k.Signatures[i])
		}
	}
	return append(appendSignatures(dst, k.Key, []signatures{own, viewers}), '}')
}

// appendFailures appends the servers that did not answer, in order.
func appendFailures(dst []byte, failures Failures) []byte {
	dst = append(dst, '{')
	for i, server := range slices.Sorted(maps.Keys(failures)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, server), `:{"status":`...)
		dst = strconv.AppendInt(dst, int64(failures[server].Status), 10)
		dst = append(event.AppendString(append(dst, `,"message":`...), failures[server].Message), '}')
	}
	return append(dst, '}')
}

// members writes the members of a JSON object, separated by commas.
type members struct {
	w     *reserve.Writer
	begun bool
}

// begin writes the name of one, after which its value is to be written.
func (m *members) begin(name string) {
	if m.begun {
		m.w.B = append(m.w.B, ',')
	}
	m.begun = true
	m.w.B = append(event.AppendString(m.w.B, name), ':')
}

// addRaw writes members that are JSON already, in order.
func (m *members) addRaw(raw map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		m.begin(name)
		m.w.B = append(m.w.B, raw[name]...)
		if err := m.w.Pass(); err != nil {
			return err
		}
	}
	return nil
}
