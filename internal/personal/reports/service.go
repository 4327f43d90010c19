package reports

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

const (
	// maxReasonBytes bounds the reason of a report.
	maxReasonBytes = 2000
	// maxKept bounds the stored reports of each reporter.
	maxKept = 1000
	// worstScore is that of the most offensive events.
	worstScore = -100
)

// Options has all that a Service needs.
type Options struct {
	Pool  *pgxpool.Pool
	Rooms *timeline.Store  // nil: no reports are taken, as in the operator's commands
	Log   *slog.Logger     // gets one line for each report; nil: slog.Default
	Now   func() time.Time // the clock; nil: time.Now
}

// Service stores reports. It is safe for concurrent use.
type Service struct {
	pool  *pgxpool.Pool
	rooms *timeline.Store
	log   *slog.Logger
	now   func() time.Time
}

// New makes a Service on a migrated database.
func New(o Options) *Service {
	s := &Service{pool: o.Pool, rooms: o.Rooms, log: o.Log, now: o.Now}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Event reports an event of a room that the reporter is in. The reason may be empty,
// and has 2,000 bytes at most. The score, from -100 for the most offensive to 0, is
// nil where none is given, as in the newest versions. M_NOT_FOUND if there is no
// event that the reporter may see; M_INVALID_PARAM.
// Client-server API, POST /rooms/{roomId}/report/{eventId}.
func (s *Service) Event(ctx context.Context, reporter, roomID, eventID, reason string, score *int) error {
	if score != nil && (*score < worstScore || *score > 0) {
		return matrix.Errorf(matrix.InvalidParam, "score must be from %d to 0", worstScore)
	}
	if err := checkReason(reason); err != nil {
		return err
	}
	err := s.rooms.For(reporter).MustBeJoined(ctx, roomID)
	if matrix.IsCode(err, matrix.Forbidden) {
		return matrix.Errorf(matrix.NotFound, "there is no such event in a room that you are in")
	}
	if err != nil {
		return err
	}
	e, _, err := s.rooms.For(reporter).Event(ctx, roomID, eventID)
	if err != nil {
		return err
	}
	return s.add(ctx, report{
		reporter: reporter, roomID: roomID, eventID: eventID, userID: e.Sender, reason: reason, score: score,
	})
}

// Room reports a room, in which the reporter need not be. The reason may be empty, and
// has 2,000 bytes at most. M_NOT_FOUND if there is no such room; M_INVALID_PARAM (also
// for a text that is no room ID). Client-server API, POST /rooms/{roomId}/report.
func (s *Service) Room(ctx context.Context, reporter, roomID, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	if _, err := s.rooms.Number(ctx, roomID); err != nil {
		return err
	}
	return s.add(ctx, report{reporter: reporter, roomID: roomID, reason: reason})
}

// User reports a user, with whom the reporter need not have a room in common. The
// reason may be empty, and has 2,000 bytes at most. It also succeeds if there is no
// such user, so that nobody learns which users exist. M_INVALID_PARAM. Client-server
// API, POST /users/{userId}/report.
func (s *Service) User(ctx context.Context, reporter, userID, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	exists, err := account.Exists(ctx, s.pool, userID)
	if err != nil || !exists {
		return err
	}
	return s.add(ctx, report{reporter: reporter, userID: userID, reason: reason})
}

// checkReason checks the reason of any report.
func checkReason(reason string) error {
	if len(reason) > maxReasonBytes {
		return matrix.Errorf(matrix.InvalidParam, "reason must not be longer than %d bytes", maxReasonBytes)
	}
	return nil
}

// add stores a report and logs it for the operator.
func (s *Service) add(ctx context.Context, r report) error {
	id, err := insertReport(ctx, s.pool, r, s.now().UnixMilli())
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "a user has reported something", "report", id,
		"reporter", r.reporter, "room", r.roomID, "event", r.eventID, "user", r.userID)
	return nil
}

// List returns reports in the order in which they came, those after the one with the
// number after, up to limit of them: the open ones, or with closed all.
func (s *Service) List(ctx context.Context, closed bool, after int64, limit int) ([]Report, error) {
	return listReports(ctx, s.pool, closed, after, limit)
}

// Find returns the report with a number. M_NOT_FOUND if there is none.
func (s *Service) Find(ctx context.Context, id int64) (*Report, error) {
	r, err := findReport(ctx, s.pool, id)
	if err == nil && r == nil {
		err = matrix.Errorf(matrix.NotFound, "there is no report %d", id)
	}
	return r, err
}

// Counts is how many reports there are.
type Counts struct{ Open, Closed int64 }

// Count counts the reports, by reading all of them.
func (s *Service) Count(ctx context.Context) (Counts, error) { return countReports(ctx, s.pool) }

// Close notes that the operator has dealt with a report, with a text of the operator's own
// that may be empty, and returns false if that was noted before. M_NOT_FOUND if there is no
// report of the number, M_INVALID_PARAM for a text that cannot be stored.
func (s *Service) Close(ctx context.Context, id int64, note string) (closed bool, err error) {
	if len(note) > maxReasonBytes || !matrix.IsText(note) {
		return false, matrix.Errorf(matrix.InvalidParam, "a note is UTF-8 of %d bytes at most", maxReasonBytes)
	}
	closed, err = closeReport(ctx, s.pool, id, note, s.now().UnixMilli())
	if err != nil || closed {
		return closed, err
	}
	_, err = s.Find(ctx, id)
	return false, err
}
