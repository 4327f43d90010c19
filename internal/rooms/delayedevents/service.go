package delayedevents

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/clock"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// The bounds of what is scheduled.
const (
	// MaxDelay is the longest delay.
	MaxDelay = 30 * 24 * time.Hour
	// MaxScheduled and maxScheduledBytes are for one user, maxTotal and maxTotalBytes for
	// all together.
	MaxScheduled      = 100
	maxScheduledBytes = 1 << 20
	maxTotal          = 100_000
	maxTotalBytes     = 256 << 20
)

// Finalised events are kept for so long, and so many of each user.
const (
	keepFinalised = 7 * 24 * time.Hour
	maxFinalised  = 100
)

// Options is what a Service is made of.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	Rooms   *rooms.Service
	// Channel brings the process that sends the news of what others have scheduled; nil: there
	// is one process.
	Channel *replica.Channel
	// Now is the time, and Clock what is waited by; nil: that of Clock, and the real one.
	Now   func() time.Time
	Clock *clock.Clock
	Log   *slog.Logger
}

// Service holds the rules of delayed events. Its methods may be called concurrently.
type Service struct {
	o      Options
	worker *journal.Worker
	// earlier receives when something was scheduled, which may be due before all else.
	earlier chan struct{}
	// alarm returns a channel that receives when it is so late; a clock of its own in tests.
	alarm func(at time.Time) (rings <-chan time.Time, stop func())
}

// kindScheduled is the message that something was scheduled.
const kindScheduled = "delayed_event"

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = o.Clock.Now
	}
	s := &Service{o: o, earlier: make(chan struct{}, 1)}
	s.alarm = func(at time.Time) (<-chan time.Time, func()) {
		t := o.Clock.NewTimer(at.Sub(o.Now()))
		return t.C, func() { t.Stop() }
	}
	s.worker = o.Journal.Worker("delayed_events", s.work)
	if o.Channel != nil {
		o.Channel.Handle(kindScheduled, func(string) { s.wake() })
		o.Channel.OnMissed(s.wake)
	}
	return s
}

// Start begins to send what is due, until Stop. Call it after the journal has been started.
func (s *Service) Start(ctx context.Context) { s.worker.Start(ctx) }

// Stop ends the work. What is being sent then is sent by the next process to lead.
func (s *Service) Stop() { s.worker.Stop() }

func (s *Service) wake() {
	select {
	case s.earlier <- struct{}{}:
	default:
	}
}

// Request is a request to send an event later.
type Request struct {
	rooms.Request
	Type     string
	StateKey *string // nil: it is no state event
	Content  json.RawMessage
	// Delay is in milliseconds.
	Delay int64
}

// Schedule has an event sent later, and returns its delay ID. A request that is repeated
// with the same transaction ID returns the first one.
//
// M_INVALID_PARAM for a delay that is none, M_UNKNOWN with the members of MSC4140 for one
// that is too long; M_FORBIDDEN for a user who is not in the room; M_TOO_LARGE, M_BAD_JSON
// and M_INVALID_PARAM for what can be no event; M_LIMIT_EXCEEDED if the user, or all users,
// have scheduled as much as they may. Whether the event is allowed is checked when it is
// sent. MSC4140, "Scheduling a delayed event".
func (s *Service) Schedule(ctx context.Context, q Request) (delayID string, err error) {
	if err := q.check(); err != nil {
		return "", err
	}
	if err := s.mustBeJoined(ctx, q.UserID, q.RoomID); err != nil {
		return "", err
	}
	now := s.o.Now().UnixMilli()
	d := &delayed{
		ID: rand.Text(), UserID: q.UserID, DeviceID: q.DeviceID, Guest: q.Guest, RoomID: q.RoomID, Type: q.Type, StateKey: q.StateKey,
		Content: q.Content, Timestamp: q.Timestamp, Position: s.o.Journal.Position(), Delay: q.Delay, Since: now,
	}
	if q.TxnID != "" {
		d.TxnID = &q.TxnID
	}
	delayID, err = s.insert(ctx, d, now)
	if err == nil {
		s.wake()
	}
	return delayID, err
}

func (q *Request) check() error {
	switch {
	case q.Delay <= 0:
		return matrix.Errorf(matrix.InvalidParam, "a delay is a whole number of milliseconds, and more than 0")
	case q.Delay > MaxDelay.Milliseconds():
		return &matrix.Error{
			Code: matrix.Unknown, Status: http.StatusBadRequest, Message: "the delay is longer than the server allows",
			Fields: map[string]any{
				"org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED", "org.matrix.msc4140.max_delay": MaxDelay.Milliseconds(),
			},
		}
	case len(q.Content) > event.MaxBytes:
		return matrix.Errorf(matrix.TooLarge, "an event has at most %d bytes", event.MaxBytes)
	}
	canonical, err := event.Canonical(q.Content, false)
	if err != nil {
		return err
	}
	if canonical[0] != '{' {
		return matrix.Errorf(matrix.BadJSON, "the content must be an object")
	}
	q.Content = canonical
	return q.Check(q.Type, q.StateKey, q.Content)
}

func (s *Service) mustBeJoined(ctx context.Context, userID, roomID string) error {
	err := s.o.Rooms.Timeline.For(userID).MustBeJoined(ctx, roomID)
	if matrix.IsCode(err, matrix.NotFound) {
		return timeline.ErrNotInRoom()
	}
	return err
}

// errGone is M_NOT_FOUND for a delayed event that there is not, or not any more.
func errGone() error { return matrix.Errorf(matrix.NotFound, "there is no such delayed event") }

// The actions.
const (
	ActionSend    = "send"
	ActionCancel  = "cancel"
	ActionRestart = "restart"
)

// Act does an action on a delayed event, for anybody who knows its ID. Sending what was sent
// and cancelling what was cancelled already does nothing. M_INVALID_PARAM for an action that
// there is not, M_NOT_FOUND for an event that there is not, or not any more; the errors of
// sending, after which it stays scheduled. MSC4140, "Managing scheduled delayed events".
func (s *Service) Act(ctx context.Context, delayID, action string) error {
	if !matrix.IsText(delayID) {
		return errGone()
	}
	switch action {
	case ActionRestart:
		done, err := s.restart(ctx, delayID, s.o.Now().UnixMilli())
		if err == nil && !done {
			err = errGone()
		}
		return err
	case ActionCancel:
		return s.cancel(ctx, delayID)
	case ActionSend:
		return s.sendNow(ctx, delayID)
	}
	return matrix.Errorf(matrix.InvalidParam, "an action is send, cancel or restart")
}

func (s *Service) cancel(ctx context.Context, delayID string) error {
	done, err := s.cancelScheduled(ctx, delayID, s.o.Now().UnixMilli())
	if done || err != nil {
		return err
	}
	d, err := s.find(ctx, delayID)
	if err == nil && (d.FinalisedAt == nil || d.EventID != nil) { // on its way, or sent
		err = errGone()
	}
	return err
}

// sendNow sends a delayed event before its time.
func (s *Service) sendNow(ctx context.Context, delayID string) error {
	d, err := s.claim(ctx, delayID)
	if err != nil {
		return err
	}
	if d.FinalisedAt != nil {
		if d.EventID == nil {
			return errGone()
		}
		return nil
	}
	eventID, err := s.send(ctx, d)
	now := s.o.Now().UnixMilli()
	if refused, ok := errors.AsType[*matrix.Error](err); ok && !isOurs(refused) {
		if err := s.release(ctx, delayID); err != nil {
			return err
		}
		return refused
	}
	if err != nil {
		// It may have been sent after all: the worker finds out.
		if err := s.putOff(context.WithoutCancel(ctx), delayID, now); err != nil {
			s.o.Log.ErrorContext(ctx, "a delayed event is left marked as being sent", "user_id", d.UserID, "room_id", d.RoomID, "error", err)
		}
		s.wake()
		return err
	}
	return s.finalise(ctx, d, outcome{eventID: eventID, at: now, byAction: true})
}

// isOurs reports whether an error is one of the server's own, so that trying again later
// makes sense.
func isOurs(e *matrix.Error) bool { return e.HTTPStatus() >= http.StatusInternalServerError }

// send sends a delayed event. However often that is done, it is sent once.
func (s *Service) send(ctx context.Context, d *delayed) (eventID string, err error) {
	ctx = matrix.WithCaller(ctx, d.UserID)
	q := rooms.Request{
		UserID: d.UserID, DeviceID: d.DeviceID, Guest: d.Guest, RoomID: d.RoomID, TxnID: timeline.DelayedTransaction + d.ID, Timestamp: d.Timestamp,
	}
	if d.StateKey != nil {
		return s.o.Rooms.SetState(ctx, q, d.Type, *d.StateKey, d.Content)
	}
	return s.o.Rooms.Send(ctx, q, d.Type, d.Content)
}

// isOvertaken reports whether another user has set the state of a delayed event since it was
// scheduled.
func (s *Service) isOvertaken(ctx context.Context, d *delayed) (bool, error) {
	if d.StateKey == nil {
		return false, nil
	}
	nid, err := s.o.Rooms.Timeline.Number(ctx, d.RoomID)
	if err != nil {
		return false, err
	}
	key := event.StateKey{Type: d.Type, Key: *d.StateKey}
	state, err := s.o.Rooms.Timeline.CurrentState(ctx, nid, []event.StateKey{key})
	if err != nil {
		return false, err
	}
	now := state[key]
	return now != nil && now.Sender != d.UserID && now.Position > d.Position, nil
}

// errOvertaken is what a delayed event is cancelled for whose state another user has set.
func errOvertaken() *matrix.Error {
	return matrix.Errorf(matrix.Unknown, "another user has set this state since the event was scheduled")
}

// encodeError returns an error as the answer to a request would have it.
func encodeError(e *matrix.Error) []byte {
	fields := map[string]any{"errcode": e.Code, "error": e.Message}
	for name, value := range e.Fields {
		fields[name] = value
	}
	if e.RetryAfter > 0 {
		fields["retry_after_ms"] = int64(math.Ceil(float64(e.RetryAfter) / float64(time.Millisecond)))
	}
	encoded, err := json.Marshal(fields)
	if err != nil {
		return fmt.Appendf(nil, `{"errcode":%q}`, e.Code)
	}
	return encoded
}
