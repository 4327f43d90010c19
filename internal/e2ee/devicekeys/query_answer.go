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
	signed      map[masterKey]*signatures // of the viewer, on master keys of others
	users       []string                  // those that there are on this server, in order
	devicesOf   map[string][]string       // the devices that were asked for; none: all
	devices     *byUser[*shownDevice]
	masters     *byUser[*shownKey]
	selfSigning *byUser[*shownKey]
	userSigning *byUser[*shownKey]
	remote      RemoteKeys
	failures    Failures
}

// shownDevice is a device as others are shown it.
type shownDevice struct {
	UserID, DeviceID string
	json             []byte // nil: its row is damaged
	stored           int    // the bytes of its keys in the database
}

func (d *shownDevice) user() string  { return d.UserID }
func (d *shownDevice) damaged() bool { return d.json == nil }
func (d *shownDevice) row() string   { return "keys of the device " + d.DeviceID + " of " + d.UserID }

// cost is about how much memory a device takes, once as it is and once as it is written.
func (d *shownDevice) cost() int { return 2*d.stored + besideDevice }

// shownKey is a cross-signing key as others are shown it, with the signatures of its owner.
type shownKey struct {
	UserID, PublicKey string
	json              []byte // nil: its row is damaged
	isSigned          bool   // json has signatures, as its last member
	stored            int    // the bytes of the key in the database, and of signatures of devices
}

func (k *shownKey) user() string  { return k.UserID }
func (k *shownKey) damaged() bool { return k.json == nil }
func (k *shownKey) row() string   { return "cross-signing key " + k.PublicKey + " of " + k.UserID }

func (k *shownKey) cost() int { return k.stored + besideKey }

// masterKey names a master key.
type masterKey struct{ UserID, PublicKey string }

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
			w.B = append(w.B, d.json...)
			if err := w.Pass(); err != nil {
				return err
			}
		}
	}
	return nil
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
				w.B = a.appendKey(w.B, k)
				if err := w.Pass(); err != nil {
					return err
				}
			}
		}
	}
	return users.addRaw(remote)
}

// appendKey appends a key, with the signatures of the viewer on it if there are any.
func (a *QueryAnswer) appendKey(dst []byte, k *shownKey) []byte {
	by := a.signed[masterKey{k.UserID, k.PublicKey}]
	if by == nil {
		return append(dst, k.json...)
	}
	if k.isSigned {
		dst = append(append(dst, k.json[:len(k.json)-len(`}}`)]...), ',')
	} else {
		dst = append(append(dst, k.json[:len(k.json)-len(`}`)]...), `,"signatures":{`...)
	}
	return append(by.appendMember(dst), `}}`...)
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
