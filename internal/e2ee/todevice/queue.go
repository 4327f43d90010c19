package todevice

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
)

// Queue is what is known in memory of the messages that wait for a device.
type Queue struct {
	device device
	// gone is a position up to which no message waits. After it all do that the live
	// window has for the device.
	gone atomic.Int64
}

func weighQueue(d device, q *Queue) int {
	const fixed = 64
	bytes := cache.Text(d.UserID, d.DeviceID)
	if q != nil {
		bytes += fixed + cache.Text(d.UserID, d.DeviceID)
	}
	return bytes
}

// Queue returns the queue of a device.
func (s *Service) Queue(ctx context.Context, userID, deviceID string) (*Queue, error) {
	d := device{userID, deviceID}
	place := s.queues.Place(d)
	if q := place.Load(); q != nil {
		return q, nil
	}
	gone, err := s.loadGone(ctx, d)
	if err != nil {
		return nil, err
	}
	q := &Queue{device: d}
	q.gone.Store(int64(gone))
	place.Store(q)
	return q, nil
}

// Waiting is what waits for a device in one moment of the journal, after some position.
type Waiting struct {
	device      device
	after, upTo journal.Position
	covered     bool       // found has all of them
	found       []*Message // in the live window
}

// Look returns what waits for the device after a position. It does no I/O.
func (q *Queue) Look(view journal.View, after journal.Position) *Waiting {
	w := &Waiting{device: q.device, after: max(after, journal.Position(q.gone.Load())), upTo: view.Position}
	if w.covered = w.after >= w.upTo || view.Covers(w.after); !w.covered || w.after >= w.upTo {
		return w
	}
	for _, entry := range view.About(journal.Topic{User: q.device.UserID}, w.after) {
		if content := contentOf(entry, q.device); content != nil {
			m := entry.Value.(*Messages)
			w.found = append(w.found, &Message{Position: entry.Position, Sender: m.Sender, Type: m.Type, Content: content})
		}
	}
	return w
}

// contentOf returns the message that an entry has for a device; nil: none.
func contentOf(entry *journal.Entry, d device) json.RawMessage {
	m, ok := entry.Value.(*Messages)
	if !ok {
		return nil
	}
	return m.contents[d]
}

const (
	// maxMessages and maxBytes bound the messages of one answer. Of one that is larger than
	// that there is one.
	maxMessages = 100
	maxBytes    = 512 << 10
)

// Read returns the first messages of those that wait, as many as one answer may hold, and the
// position up to which these are all.
func (s *Service) Read(ctx context.Context, w *Waiting) (list []*Message, upTo journal.Position, err error) {
	list = w.found
	if !w.covered {
		if list, err = s.readQueue(ctx, w.device, w.after, w.upTo); err != nil {
			return nil, 0, err
		}
	}
	if first := firstOf(list, maxMessages); len(first) < len(list) {
		return first, first[len(first)-1].Position, nil
	}
	return list, w.upTo, nil
}

func (m *Message) size() int { return len(m.Content) + len(m.Sender) + len(m.Type) }
