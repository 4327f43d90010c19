package todevice

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Limits of one request.
const (
	// maxRecipients bounds the devices that one request reaches, and maxRequestBytes the
	// bytes of their messages together.
	maxRecipients   = 10_000
	maxRequestBytes = 4 << 20
	// rowBytes estimates what a message takes beside its content.
	rowBytes = 250
)

// allDevices stands for all devices of a user.
const allDevices = "*"

// transaction is the scope of a transaction ID: one device and one path. Client-server
// API, "Transaction identifiers".
type transaction struct{ userID, deviceID, typ, txnID string }

// Send sends messages of a type to devices: by users and device IDs, where * stands for all
// devices of the user. Users and devices that there are not are passed over. A request that
// repeats a transaction does nothing. M_MISSING_PARAM without messages; M_BAD_JSON for a
// message that is no object; M_INVALID_PARAM for what is no user ID, and for a type or
// transaction ID that cannot be; M_TOO_LARGE for too many devices, or a message that is larger
// than an event may be. Client-server API, PUT /sendToDevice/{eventType}/{txnId}.
func (s *Service) Send(ctx context.Context, who matrix.Session, typ, txnID string, messages map[string]map[string]json.RawMessage) error {
	t := transaction{who.UserID, who.DeviceID, typ, txnID}
	if err := t.check(); err != nil {
		return err
	}
	wanted, remote, err := s.parse(messages)
	if err != nil {
		return err
	}
	end, err := s.turns.Take(ctx, t.userID+" "+t.deviceID+" "+t.typ+" "+t.txnID)
	if err != nil {
		return err
	}
	defer end()
	if _, repeated := s.recent.Get(t); repeated {
		return nil
	}
	contents, err := s.expand(ctx, wanted)
	if err != nil || len(contents)+len(remote) == 0 {
		return err
	}
	m := &Messages{Sender: who.UserID, Type: typ, contents: contents, transaction: &t}
	err = s.commit(ctx, m, remote)
	if err != nil && !isRepeated(err) {
		return err
	}
	s.recent.Put(t, struct{}{})
	return nil
}

// commit writes messages, and hands those to users of other servers on in the same commit.
func (s *Service) commit(ctx context.Context, m *Messages, remote map[string]map[string]json.RawMessage) error {
	e := s.entry(m)
	w := &journal.Write{Entries: []*journal.Entry{e}}
	if len(remote) > 0 {
		r := RemoteMessages{Sender: m.Sender, Type: m.Type, Contents: remote}
		e.Size += r.size()
		w.Also = func(b *pgx.Batch) { s.o.Remote.Queue(b, r) }
	}
	if err := s.o.Journal.Commit(ctx, w); err != nil {
		return err
	}
	s.janitor.sent(m)
	return nil
}

// check refuses a type or an ID that cannot be stored: M_INVALID_PARAM.
func (t *transaction) check() error {
	for _, text := range []string{t.typ, t.txnID} {
		if text == "" || len(text) > matrix.MaxIDBytes || !matrix.IsText(text) {
			return matrix.Errorf(matrix.InvalidParam, "an event type and a transaction ID have 1 to %d bytes of UTF-8 without the character NUL", matrix.MaxIDBytes)
		}
	}
	return nil
}

// parse checks messages, and returns those to users of this server, and those to others if they
// go anywhere.
func (s *Service) parse(messages map[string]map[string]json.RawMessage) (
	local map[device]json.RawMessage, remote map[string]map[string]json.RawMessage, err error,
) {
	if messages == nil {
		return nil, nil, matrix.Errorf(matrix.MissingParam, "messages is missing")
	}
	local, remote = map[device]json.RawMessage{}, map[string]map[string]json.RawMessage{}
	for userID, byDevice := range messages {
		_, server, err := matrix.ParseUserID(userID)
		if err != nil {
			return nil, nil, err
		}
		for deviceID, content := range byDevice {
			if content[0] != '{' {
				return nil, nil, matrix.Errorf(matrix.BadJSON, "a message for %s must be an object", userID)
			}
			if byDevice[deviceID], err = event.Canonical(content, false); err != nil {
				return nil, nil, err
			}
			if server == s.o.ServerName && len(deviceID) <= matrix.MaxIDBytes && matrix.IsText(deviceID) {
				local[device{userID, deviceID}] = byDevice[deviceID]
			}
		}
		if server != s.o.ServerName && s.o.Remote != nil && len(byDevice) > 0 {
			remote[userID] = byDevice
		}
	}
	return local, remote, nil
}

// expand replaces messages for all devices of users by one for each. A device that is named
// beside gets its own message. M_TOO_LARGE if the messages are too many, or too much.
func (s *Service) expand(ctx context.Context, wanted map[device]json.RawMessage) (map[device]json.RawMessage, error) {
	var ofAll []string
	for d := range wanted {
		if d.DeviceID == allDevices {
			ofAll = append(ofAll, d.UserID)
		}
	}
	contents := maps.Clone(wanted)
	if len(ofAll) > 0 {
		devices, err := s.devicesOf(ctx, ofAll, maxRecipients+1)
		if err != nil {
			return nil, err
		}
		for _, d := range devices {
			if _, named := wanted[d]; !named {
				contents[d] = wanted[device{d.UserID, allDevices}]
			}
		}
		maps.DeleteFunc(contents, func(d device, _ json.RawMessage) bool { return d.DeviceID == allDevices })
	}
	bytes := 0
	for _, content := range contents {
		bytes += len(content)
	}
	if len(contents) > maxRecipients || bytes > maxRequestBytes {
		return nil, matrix.Errorf(matrix.TooLarge, "one request reaches at most %d devices, with %d bytes", maxRecipients, maxRequestBytes)
	}
	return contents, nil
}

// entry makes the journal entry of messages, which concerns their users.
func (s *Service) entry(m *Messages) *journal.Entry {
	const fixed = 600 // of the transaction, and of the structs
	e := &journal.Entry{Table: s.table, Value: m, Size: fixed + len(m.Sender) + len(m.Type)}
	users := map[string]bool{}
	for d, content := range m.contents {
		e.Size += len(content) + rowBytes
		if !users[d.UserID] {
			users[d.UserID] = true
			e.Topics = append(e.Topics, journal.Topic{User: d.UserID})
		}
	}
	return e
}
