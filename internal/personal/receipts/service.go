package receipts

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// The types of receipts.
const (
	Read        = "m.read"
	ReadPrivate = "m.read.private"
	FullyRead   = "m.fully_read"
)

// MainThread is the thread ID of events outside of threads.
const MainThread = "main"

// Receipt states that a user has read a room, or a thread in it, up to an event. It is
// the value of its journal entry, and does not change.
type Receipt struct {
	Room       journal.RoomNID
	UserID     string
	Type       string
	ThreadID   string // "": of the whole room
	EventID    string
	EventPlace timeline.Place
	TS         int64 // milliseconds since the epoch
}

// Service holds the rules of receipts. Its methods may be called concurrently. The user
// ID that they are given is authenticated by the caller.
type Service struct {
	pool    *pgxpool.Pool
	journal *journal.Journal
	rooms   *timeline.Store
	table   *journal.Table
	turns   cache.Turns
	marks   *cache.Cache[place, timeline.ReadMarks]
	now     func() time.Time

	setFullyRead func(ctx context.Context, userID, roomID, eventID string) error
}

// place is a user's in a room.
type place struct {
	user string
	room journal.RoomNID
}

// keptThreads is for how many threads of a room it is kept in memory how far a user has
// read them: all are copied with each receipt.
const keptThreads = 100

// New makes the service on a migrated database. setFullyRead moves the fully read marker
// of a user in a room, which is account data, to an event. How far users have read is
// kept in memory, so many bytes of it; 0: [cache.UsualShare]. now is the time of receipts.
// Call it before the journal is started.
func New(
	pool *pgxpool.Pool, j *journal.Journal, r *timeline.Store,
	setFullyRead func(ctx context.Context, userID, roomID, eventID string) error, markBytes int, now func() time.Time,
) *Service {
	s := &Service{
		pool: pool, journal: j, rooms: r, setFullyRead: setFullyRead, now: now,
		marks: cache.New(markBytes, weighMarks),
	}
	s.table = &journal.Table{Name: "receipts", Queue: queueReceipts, Read: s.readOthers}
	j.Add(s.table)
	j.Observe(journal.Observer{
		Committed: s.committed,
		Reset:     func(journal.Position) { s.marks.ForgetAll() },
	})
	return s
}

// Caches reports the use of the caches.
func (s *Service) Caches() cache.Caches { return cache.Caches{"read_marks": s.marks.Stats} }

// Send sets a receipt at an event. threadID is that of the request, nil if it had none.
// M_INVALID_PARAM for a type or a thread that does not fit, M_NOT_FOUND for an event
// that the user cannot see, M_FORBIDDEN for a user who is not in the room.
// Client-server API, POST /rooms/{roomId}/receipt/{receiptType}/{eventId}.
func (s *Service) Send(ctx context.Context, userID, roomID, typ, eventID string, threadID *string) error {
	if !slices.Contains([]string{Read, ReadPrivate, FullyRead}, typ) {
		return matrix.Errorf(matrix.InvalidParam, "a receipt is m.read, m.read.private or m.fully_read")
	}
	if threadID != nil && (typ == FullyRead || *threadID == "") {
		return matrix.Errorf(matrix.InvalidParam, "thread_id must not be empty, and m.fully_read has none")
	}
	if err := s.rooms.For(userID).MustBeJoined(ctx, roomID); err != nil {
		return err
	}
	e, _, err := s.rooms.For(userID).Event(ctx, roomID, eventID)
	if err != nil {
		return err
	}
	if typ == FullyRead {
		return s.setFullyRead(ctx, userID, roomID, eventID)
	}
	r := &Receipt{
		Room: e.Room, UserID: userID, Type: typ, EventID: e.ID, EventPlace: e.Place, TS: s.now().UnixMilli(),
	}
	if threadID != nil {
		r.ThreadID = *threadID
		if err := s.checkThread(ctx, e, *threadID); err != nil {
			return err
		}
	}
	return s.commit(ctx, r)
}

// commit writes a receipt, unless there is one of its kind as far on already. Those
// of one user take turns; another process may come first.
func (s *Service) commit(ctx context.Context, r *Receipt) error {
	end, err := s.turns.Take(ctx, r.UserID)
	if err != nil {
		return err
	}
	defer end()
	behind, err := s.isBehind(ctx, r)
	if err != nil || behind {
		return err
	}
	err = s.journal.Commit(ctx, &journal.Write{Entries: []*journal.Entry{s.entry(r)}})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == errBehind {
		return nil
	}
	return err
}

func (s *Service) entry(r *Receipt) *journal.Entry {
	concerned := journal.Topic{Room: r.Room}
	if r.Type == ReadPrivate {
		concerned = journal.Topic{User: r.UserID}
	}
	return &journal.Entry{Table: s.table, Topics: []journal.Topic{concerned}, Value: r, Size: r.size()}
}

// size estimates the bytes of a receipt in memory.
func (r *Receipt) size() int {
	const fixed = 100
	return fixed + len(r.UserID) + len(r.ThreadID) + len(r.EventID)
}

// Markers is the body of POST /rooms/{roomId}/read_markers.
type Markers struct {
	FullyRead   string `json:"m.fully_read"`
	Read        string `json:"m.read"`
	ReadPrivate string `json:"m.read.private"`
}

// SetMarkers sets the markers that are given. Errors as for Send. Client-server
// API, "Read and unread markers".
func (s *Service) SetMarkers(ctx context.Context, userID, roomID string, m Markers) error {
	for _, marker := range [][2]string{{FullyRead, m.FullyRead}, {Read, m.Read}, {ReadPrivate, m.ReadPrivate}} {
		if marker[1] == "" {
			continue
		}
		if err := s.Send(ctx, userID, roomID, marker[0], marker[1], nil); err != nil {
			return err
		}
	}
	return nil
}

// checkThread refuses a receipt for a thread that the event has nothing to do with, as
// [timeline.Thread] has it: M_INVALID_PARAM.
func (s *Service) checkThread(ctx context.Context, e *timeline.Event, threadID string) error {
	threads, err := s.rooms.ThreadsOf(ctx, []*timeline.Event{e})
	if err != nil {
		return err
	}
	root := threadID
	if root == MainThread {
		root = ""
	}
	if !threads[0].Has(root) {
		return matrix.Errorf(matrix.InvalidParam, "the event is not in this thread")
	}
	return nil
}
