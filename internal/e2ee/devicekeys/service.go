package devicekeys

import (
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/rooms/timeline"
)

// Limits of what a request may bring and of what is kept.
const (
	maxDeviceKeysBytes = 8 << 10 // of the keys of one device, and of a cross-signing key
	maxKeyBytes        = 2 << 10 // of a one-time or fallback key
	maxNameBytes       = 255     // of an algorithm, and of a key's name
	maxAlgorithms      = 100     // of a device
	// maxOneTimeKeys bounds the one-time keys of a request, and those of a device that are
	// left. Clients hold 50 to 100.
	maxOneTimeKeys = 200
	// maxFallbackKeys bounds the algorithms of which a device has a fallback key.
	maxFallbackKeys = 10
)

// Options is what a Service is made of.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	Rooms   *timeline.Store
	// Sessions adds and removes dehydrated devices.
	Sessions *session.Service
	// Stages is interactive authentication, for the replacement of cross-signing keys.
	Stages *uia.Service
	// Channel says of which devices other processes have given out or taken in one-time
	// keys; nil: there is no other process.
	Channel *replica.Channel
	// ServerName is the part of user IDs after the colon.
	ServerName string
	// Remote asks other servers; nil: none is reached.
	Remote Remote
	// CountBytes is what the counts of one-time keys may take in memory; 0:
	// [cache.UsualShare].
	CountBytes int
	// KeyBytes is what the keys that others are shown may take in memory; 0: [cache.UsualShare].
	KeyBytes int
}

// Service holds the rules of keys. Its methods may be called concurrently.
type Service struct {
	o       Options
	pool    *pgxpool.Pool
	changes *journal.Table
	signed  *journal.Table
	counts  *cache.LRU[string, *userCounts]  // by user ID
	public  *cache.Cache[string, publicKeys] // by user ID
}

// device names a device.
type device struct{ UserID, DeviceID string }

// New makes the service on a migrated database. Call it before the journal and the
// channel are started.
func New(o Options) *Service {
	if o.Remote == nil {
		o.Remote = unreachable{}
	}
	s := &Service{
		o: o, pool: o.Pool, public: cache.New(o.KeyBytes, weighPublicKeys),
		counts: cache.NewLRU(cache.Options[string, *userCounts]{Share: o.CountBytes, Weigh: weighCounts}),
	}
	s.changes = &journal.Table{
		Name: listTable, Queue: queueChanges, Read: s.readChanges, Decode: decodeChange, AddTopics: addRooms,
	}
	s.signed = &journal.Table{Name: signedTable, Queue: queueSigned, Read: s.readSigned, Decode: decodeSigned}
	o.Journal.Add(s.changes)
	o.Journal.Add(s.signed)
	o.Journal.Observe(journal.Observer{Committed: s.committed, Reset: func(journal.Position) { s.forgetAll() }})
	if o.Channel != nil {
		o.Channel.Handle(kindCounts, func(users string) { s.forgetCounts(strings.Fields(users)...) })
		o.Channel.OnMissed(s.forgetAll)
	}
	return s
}

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"key_counts": s.counts.Stats, "public_keys": s.public.Stats}
}

// committed forgets the keys and counts of users whose devices have changed: a device that was
// removed, by whatever process, has no keys if it comes back. It runs inside the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, e := range entries {
		if c, ok := e.Value.(*Changed); ok {
			s.counts.Remove(c.UserID)
			s.public.Forget(c.UserID)
		}
	}
}

func (s *Service) forgetAll() {
	s.counts.RemoveAll(nil)
	s.public.ForgetAll()
}
