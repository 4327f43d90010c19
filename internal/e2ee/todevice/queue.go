package todevice

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
)

// Queue is what is known in memory of the messages that wait for a device.
type Queue struct {
	device device
	// gone is a position up to which no message waits. All do that the log has for the
	// device after it.
	gone atomic.Int64
	// leaving is until when nothing is known, since the device is being removed; zero: it is
	// not.
	leaving time.Time
}

func weighQueue(d device, q *Queue) int {
	const fixed = 80
	bytes := cache.Text(d.UserID, d.DeviceID)
	if q != nil {
		bytes += fixed
	}
	return bytes
}

// Queue returns the queue of a device.
func (s *Service) Queue(ctx context.Context, userID, deviceID string) (*Queue, error) {
	d := device{userID, deviceID}
	place := s.queues.Place(d)
	known := place.Load()
	if known != nil && known.leaving.IsZero() {
		return known, nil
	}
	acknowledged := s.janitor.acknowledgedUpTo(d) // before it is read what there is
	gone, err := s.loadGone(ctx, d)
	if err != nil {
		return nil, err
	}
	q := &Queue{device: d}
	q.gone.Store(int64(max(gone, acknowledged)))
	switch {
	case known == nil:
		place.Store(q)
	case s.o.Clock.Now().After(known.leaving): // it was removed, or was not after all
		s.queues.Forget(d)
	}
	return q, nil
}

// moveUp notes that nothing waits up to a position.
func (q *Queue) moveUp(upTo journal.Position) {
	for gone := q.gone.Load(); gone < int64(upTo) && !q.gone.CompareAndSwap(gone, int64(upTo)); gone = q.gone.Load() {
	}
}

const (
	// maxMessages and maxBytes bound the messages of one answer. Of one that is larger than
	// that there is one.
	maxMessages = 100
	maxBytes    = 512 << 10
)

// Waiting is what waits for a device after some position, in one moment of the journal.
type Waiting struct {
	device      device
	after, upTo journal.Position
	covered     bool       // by the live window; then found has the first of them
	found       []*Message // up to upTo
}

// Empty reports whether it is known that nothing waits.
func (w *Waiting) Empty() bool { return w.covered && len(w.found) == 0 }

// Look returns what waits for the device after a position. It does no I/O.
func (q *Queue) Look(view journal.View, after journal.Position) *Waiting {
	w := &Waiting{device: q.device, after: max(after, journal.Position(q.gone.Load())), upTo: view.Position}
	if w.after >= w.upTo {
		w.covered = true
		return w
	}
	if w.covered = view.Covers(w.after); !w.covered {
		return w
	}
	p := &page{limit: maxMessages}
	for _, entry := range view.About(journal.Topic{User: q.device.UserID}, w.after) {
		content := contentOf(entry, q.device)
		if content == nil {
			continue
		}
		m := entry.Value.(*Messages)
		if !p.add(&Message{Position: entry.Position, Sender: m.Sender, Type: m.Type, Content: content}) {
			w.upTo = p.list[len(p.list)-1].Position
			break
		}
	}
	w.found = p.list
	return w
}

// page is the messages of one answer: at least one, if there is any.
type page struct {
	list         []*Message
	limit, bytes int
}

// add adds a message, and reports whether it has room.
func (p *page) add(m *Message) bool {
	n := m.size()
	if len(p.list) > 0 && (len(p.list) >= p.limit || p.bytes+n > maxBytes) {
		return false
	}
	p.list, p.bytes = append(p.list, m), p.bytes+n
	return true
}

// contentOf returns the message that an entry has for a device; nil: none.
func contentOf(entry *journal.Entry, d device) json.RawMessage {
	m, ok := entry.Value.(*Messages)
	if !ok {
		return nil
	}
	return m.contents[d]
}

// Read returns the first messages of those that wait, as many as one answer may hold, and the
// position up to which these are all.
func (s *Service) Read(ctx context.Context, w *Waiting) (list []*Message, upTo journal.Position, err error) {
	if w.covered {
		return w.found, w.upTo, nil
	}
	stored, err := s.readQueue(ctx, w.device, w.after, w.upTo)
	if err != nil {
		return nil, 0, err
	}
	if list = firstOf(stored, maxMessages); len(list) < len(stored) {
		return list, list[len(list)-1].Position, nil
	}
	return list, w.upTo, nil
}

// Acknowledge notes that the device has got all messages up to a position: they are deleted
// a little later. It does no I/O.
func (s *Service) Acknowledge(q *Queue, view journal.View, upTo journal.Position) {
	gone := journal.Position(q.gone.Load())
	if upTo <= gone || mayWait(view, q.device, gone, upTo) && !s.janitor.acknowledge(q.device, upTo) {
		return
	}
	q.moveUp(upTo)
}

// mayWait reports whether there may be messages to a device in (after, upTo].
func mayWait(view journal.View, d device, after, upTo journal.Position) bool {
	if !view.Covers(after) {
		return true
	}
	for _, entry := range view.About(journal.Topic{User: d.UserID}, after) {
		if entry.Position > upTo {
			break
		}
		if contentOf(entry, d) != nil {
			return true
		}
	}
	return false
}

// leavingTime is how long the removal of a device may take, from the hook to the commit.
const leavingTime = time.Minute

// Leaving is a hook of the removal of devices, in the process that removes them. Meanwhile
// nothing is remembered of their queues: a device of the same ID may come after them.
func (s *Service) Leaving(_ context.Context, _ pgx.Tx, userID string, deviceIDs []string) error {
	for _, id := range deviceIDs {
		d := device{userID, id}
		s.queues.Forget(d)
		s.queues.Place(d).Store(&Queue{device: d, leaving: s.o.Clock.Now().Add(leavingTime)})
	}
	return nil
}

// kindRemoved is the message of the database that a device was removed, and
// kindAcknowledged that of another process up to where devices have acknowledged.
const (
	kindRemoved      = "removed_device"
	kindAcknowledged = "to_device"
)

// onRemoved forgets the queue of a device that was removed.
func (s *Service) onRemoved(data string) {
	var d [2]string
	if json.Unmarshal([]byte(data), &d) == nil {
		s.queues.Forget(device{d[0], d[1]})
	}
}

// onAcknowledged notes what devices have acknowledged in another process.
func (s *Service) onAcknowledged(data string) {
	var list []acknowledgement
	if json.Unmarshal([]byte(data), &list) != nil {
		return // of another version of the server
	}
	for _, a := range list {
		s.queues.Change(device{a.UserID, a.DeviceID}, func(q *Queue) *Queue {
			q.moveUp(a.UpTo)
			return q
		})
	}
}
