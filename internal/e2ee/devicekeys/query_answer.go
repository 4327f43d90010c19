package devicekeys

import (
	"context"
	"maps"
	"slices"

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
	failures    map[string]failure
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
		name string
		keys *byUser[*shownKey]
	}{{"master_keys", a.masters}, {"self_signing_keys", a.selfSigning}, {"user_signing_keys", a.userSigning}} {
		w.B = append(w.B, `,"`+member.name+`":{`...)
		if err := a.writeKeys(ctx, w, member.keys); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, '}')
	return nil
}

func (a *QueryAnswer) writeDevices(ctx context.Context, w *reserve.Writer) error {
	for i, userID := range a.users {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		w.B = append(event.AppendString(w.B, userID), `:{`...)
		wanted, first := a.devicesOf[userID], true
		for devices, err := range a.devices.of(ctx, userID) {
			if err != nil {
				return err
			}
			for _, d := range devices {
				if len(wanted) > 0 && !slices.Contains(wanted, d.DeviceID) {
					continue
				}
				if !first {
					w.B = append(w.B, ',')
				}
				first = false
				w.B = d.appendJSON(w.B)
				if err := w.Pass(); err != nil {
					return err
				}
			}
		}
		w.B = append(w.B, '}')
	}
	return nil
}

// appendJSON appends the device by its ID.
func (d *shownDevice) appendJSON(dst []byte) []byte {
	dst = append(event.AppendString(dst, d.DeviceID), ':')
	own := signatures{userID: d.UserID}
	own.add(d.DeviceID, d.Signature)
	own.add(d.SignedBy, d.SelfSignature)
	dst = append(appendSignatures(dst, d.Keys, []signatures{own}), `,"unsigned":{`...)
	if d.DisplayName != "" {
		dst = event.AppendString(append(dst, `"device_display_name":`...), d.DisplayName)
	}
	return append(dst, `}}`...)
}

func (a *QueryAnswer) writeKeys(ctx context.Context, w *reserve.Writer, list *byUser[*shownKey]) error {
	first := true
	for _, userID := range a.users {
		for keys, err := range list.of(ctx, userID) {
			if err != nil {
				return err
			}
			for _, k := range keys {
				if !first {
					w.B = append(w.B, ',')
				}
				first = false
				w.B = append(event.AppendString(w.B, userID), ':')
				w.B = k.appendJSON(w.B, a.viewer)
				if err := w.Pass(); err != nil {
					return err
				}
			}
		}
	}
	return nil
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

// failure says why a server did not answer.
type failure struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// appendFailures appends the servers that did not answer, in order.
func appendFailures(dst []byte, failures map[string]failure) []byte {
	dst = append(dst, '{')
	for i, server := range slices.Sorted(maps.Keys(failures)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, server), `:{"status":503,"message":`...)
		dst = append(event.AppendString(dst, failures[server].Message), '}')
	}
	return append(dst, '}')
}

// unreachable are the failures of servers that cannot be asked.
func unreachable(servers map[string][]string) map[string]failure {
	failures := make(map[string]failure, len(servers))
	for server := range servers {
		failures[server] = failure{503, "This server does not reach others"}
	}
	return failures
}
