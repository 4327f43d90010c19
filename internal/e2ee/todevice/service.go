package todevice

import (
	"encoding/json"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Options is what a Service is made of.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	// ServerName is the part of user IDs after the colon.
	ServerName string
	// QueueBytes is what is known of the queues of devices may take in memory; 0:
	// [cache.UsualShare].
	QueueBytes int
}

// Service holds the rules of to-device messages. Its methods may be called concurrently.
type Service struct {
	o      Options
	table  *journal.Table
	queues *cache.Cache[device, Queue]
	turns  cache.Turns
}

// device is who a message is for.
type device struct{ UserID, DeviceID string }

// New makes the service on a migrated database. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{o: o}
	s.queues = cache.New(o.QueueBytes, weighQueue)
	s.table = &journal.Table{Name: "to_device", Queue: queueMessages, Read: s.readOthers}
	o.Journal.Add(s.table)
	o.Journal.Observe(journal.Observer{
		Committed: func(journal.View, []*journal.Entry) {},
		Reset:     func(journal.Position) { s.queues.ForgetAll() },
	})
	return s
}

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches { return cache.Caches{"to_device": s.queues.Stats} }

// Messages are those of one request, at most one for each device. It is the value of their
// journal entry, and does not change.
type Messages struct {
	Sender, Type string

	contents    map[device]json.RawMessage
	transaction *transaction // nil: it was read, and is not written
}

// Message is one message as its device sees it.
type Message struct {
	Position     journal.Position
	Sender, Type string
	Content      json.RawMessage // a JSON object
}

// AppendJSON writes the message as the event that clients see.
func (m *Message) AppendJSON(dst []byte) []byte {
	dst = append(append(dst, `{"content":`...), m.Content...)
	dst = event.AppendString(append(dst, `,"sender":`...), m.Sender)
	dst = event.AppendString(append(dst, `,"type":`...), m.Type)
	return append(dst, '}')
}
