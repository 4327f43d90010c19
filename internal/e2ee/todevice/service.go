package todevice

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
)

// Options is what a Service is made of.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	// Channel says which devices other processes have removed, and which messages devices
	// have acknowledged there; nil: there is no other process.
	Channel *replica.Channel
	// ServerName is the part of user IDs after the colon.
	ServerName string
	// Remote takes messages to users of other servers; nil: these go nowhere.
	Remote Remote
	// MaxMessages and MaxBytes bound, roughly, the messages that wait for one device; 0: 50,000,
	// and 64 MiB.
	MaxMessages, MaxBytes int
	// CacheBytes is what is known of the queues of devices and of recent requests may take in
	// memory; 0: twice [cache.UsualShare].
	CacheBytes int
	Log        *slog.Logger
	// Clock is the time; nil: the real one.
	Clock *clock.Clock
}

// Service holds the rules of to-device messages. Its methods may be called concurrently.
type Service struct {
	o       Options
	table   *journal.Table
	queues  *cache.Cache[device, Queue]
	recent  *cache.LRU[transaction, struct{}]
	turns   cache.Turns
	janitor *janitor
	dropped prometheus.Counter
}

// device is who a message is for.
type device struct{ UserID, DeviceID string }

// New makes the service on a migrated database. Call it before the journal and the channel
// are started.
func New(o Options) *Service {
	if o.MaxMessages == 0 {
		o.MaxMessages = 50_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{o: o, queues: cache.New(o.CacheBytes/2, weighQueue)}
	s.recent = cache.NewLRU(cache.Options[transaction, struct{}]{Share: o.CacheBytes / 2, Weigh: func(t transaction, _ struct{}) int {
		return cache.Text(t.userID, t.deviceID, t.typ, t.txnID)
	}})
	s.janitor = newJanitor(s)
	s.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "homeserver_to_device_dropped_total",
		Help: "Messages to devices that were dropped because too many waited for the device.",
	})
	s.table = &journal.Table{Name: "to_device", Queue: s.queueMessages, Read: s.readOthers}
	o.Journal.Add(s.table)
	o.Journal.Observe(journal.Observer{
		Committed: func(journal.View, []*journal.Entry) {},
		Reset:     func(journal.Position) { s.queues.ForgetAll() },
	})
	if o.Channel != nil {
		o.Channel.Handle(kindRemoved, s.onRemoved)
		o.Channel.Handle(kindAcknowledged, s.onAcknowledged)
		o.Channel.OnMissed(s.queues.ForgetAll)
	}
	return s
}

// Start begins to delete what is not needed any more, until Stop.
func (s *Service) Start(ctx context.Context) { s.janitor.start(ctx) }

// Stop deletes what devices have acknowledged, and ends the work.
func (s *Service) Stop() { s.janitor.stop() }

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"to_device_queues": s.queues.Stats, "to_device_transactions": s.recent.Stats}
}

// Collectors returns the metrics.
func (s *Service) Collectors() []prometheus.Collector { return []prometheus.Collector{s.dropped} }

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

func (m *Message) size() int { return len(m.Content) + len(m.Sender) + len(m.Type) }
