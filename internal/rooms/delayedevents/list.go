package delayedevents

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// Event is a delayed event as its user sees it, with the names of its members in the older
// and the newer versions of MSC4140.
type Event struct {
	DelayID  string          `json:"delay_id"`
	RoomID   string          `json:"room_id"`
	Type     string          `json:"type"`
	StateKey *string         `json:"state_key,omitzero"`
	Content  json.RawMessage `json:"content"`

	Delay        int64 `json:"delay"`
	RunningSince int64 `json:"running_since"`
	DelayMS      int64 `json:"delay_ms"`
	ScheduledAt  int64 `json:"scheduled_at"`

	// What follows is there once the event is finalised: Error if it could not be sent,
	// EventID if it was.
	FinalisedAt *int64          `json:"finalised_ts,omitzero"`
	EventID     *string         `json:"event_id,omitzero"`
	Error       json.RawMessage `json:"error,omitzero"`
}

func (d *delayed) event() *Event {
	return &Event{
		DelayID: d.ID, RoomID: d.RoomID, Type: d.Type, StateKey: d.StateKey, Content: d.Content,
		Delay: d.Delay, RunningSince: d.Since, DelayMS: d.Delay, ScheduledAt: d.Since,
		FinalisedAt: d.FinalisedAt, EventID: d.EventID, Error: d.Error,
	}
}

// Finalised is how an event was finalised, in the older versions of MSC4140.
type Finalised struct {
	DelayedEvent   *Event          `json:"delayed_event"`
	ScheduledEvent *Event          `json:"scheduled_event"` // the same, as some clients call it
	Outcome        string          `json:"outcome"`
	Reason         string          `json:"reason"`
	Error          json.RawMessage `json:"error,omitzero"`
	EventID        *string         `json:"event_id,omitzero"`
	OriginServerTS *int64          `json:"origin_server_ts,omitzero"`
}

func (d *delayed) finalised() *Finalised {
	e := d.event()
	f := &Finalised{
		DelayedEvent: e, ScheduledEvent: e, Outcome: "cancel", Reason: "delay", Error: d.Error, EventID: d.EventID, OriginServerTS: d.FinalisedAt,
	}
	if d.EventID != nil {
		f.Outcome = "send"
	}
	switch {
	case d.ByAction:
		f.Reason = "action"
	case d.Error != nil:
		f.Reason = "error"
	}
	return f
}

// Query asks for delayed events of a user.
type Query struct {
	UserID string
	// Status is "scheduled" or "finalised"; "": both.
	Status string
	// IDs are those that are asked for; nil: all.
	IDs []string
	// From is the NextBatch of the page before; "": the beginning.
	From string
}

// List is a page of delayed events: the scheduled ones in the order in which they are due,
// and the finalised ones, the newest first.
type List struct {
	DelayedEvents []*Event     `json:"delayed_events"`
	Scheduled     []*Event     `json:"scheduled"`
	Finalised     []*Finalised `json:"finalised"`
	NextBatch     string       `json:"next_batch,omitempty"`
}

// pageSize is how many finalised events a page has. The scheduled ones are all on the first
// page.
const pageSize = 20

// List lists delayed events of a user. M_INVALID_PARAM for a status and a token that there is
// not. MSC4140, "Getting a list of delayed events".
func (s *Service) List(ctx context.Context, q Query) (*List, error) {
	l := &List{DelayedEvents: []*Event{}, Finalised: []*Finalised{}}
	from, err := parseToken(q.From)
	switch {
	case err != nil:
		return nil, err
	case q.Status != "" && q.Status != "scheduled" && q.Status != "finalised":
		return nil, matrix.Errorf(matrix.InvalidParam, `status must be "scheduled" or "finalised"`)
	}
	if q.Status != "finalised" && from == nil {
		scheduled, err := s.read(ctx, q, `finalised_at IS NULL ORDER BY due, since, delay_id`)
		if err != nil {
			return nil, err
		}
		for _, d := range scheduled {
			l.DelayedEvents = append(l.DelayedEvents, d.event())
		}
	}
	l.Scheduled = l.DelayedEvents
	if q.Status != "scheduled" {
		err = s.listFinalised(ctx, q, from, l)
	}
	return l, err
}

func (s *Service) listFinalised(ctx context.Context, q Query, from *token, l *List) error {
	if from == nil {
		from = &token{at: 1<<63 - 1}
	}
	finalised, err := s.read(ctx, q, `finalised_at IS NOT NULL AND (finalised_at < $3 OR finalised_at = $3 AND delay_id > $4)
		ORDER BY finalised_at DESC, delay_id LIMIT $5`, from.at, from.id, pageSize+1)
	if err != nil {
		return err
	}
	if len(finalised) > pageSize {
		finalised = finalised[:pageSize]
		last := finalised[pageSize-1]
		l.NextBatch = token{*last.FinalisedAt, last.ID}.String()
	}
	for _, d := range finalised {
		l.Finalised = append(l.Finalised, d.finalised())
	}
	return nil
}

// read reads delayed events of a user by further conditions.
func (s *Service) read(ctx context.Context, q Query, conditions string, args ...any) ([]*delayed, error) {
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.o.Pool.Query(ctx, `
			SELECT `+columns+` FROM delayed_events
			WHERE user_id = $1 AND ($2::text[] IS NULL OR delay_id = ANY($2)) AND `+conditions, append([]any{q.UserID, q.IDs}, args...)...)
		return rows
	}, pgx.RowToAddrOfStructByName[delayed], func(d *delayed) int { return 4 * d.size() }) // each is written twice
	if err != nil {
		return nil, fmt.Errorf("list the delayed events of %s: %w", q.UserID, err)
	}
	return list, nil
}

// Get returns a delayed event of a user. M_NOT_FOUND if there is none. MSC4140, "Getting a
// single delayed event".
func (s *Service) Get(ctx context.Context, userID, delayID string) (*Event, error) {
	if !matrix.IsText(delayID) {
		return nil, errGone()
	}
	d, err := s.find(ctx, delayID)
	if err != nil {
		return nil, err
	}
	if d.UserID != userID {
		return nil, errGone()
	}
	return d.event(), nil
}

// token is a place among finalised events: behind the one of an ID.
type token struct {
	at int64
	id string
}

func (t token) String() string { return strconv.FormatInt(t.at, 10) + "_" + t.id }

func parseToken(text string) (*token, error) {
	if text == "" {
		return nil, nil
	}
	number, id, ok := strings.Cut(text, "_")
	at, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || !matrix.IsText(id) {
		return nil, matrix.Errorf(matrix.InvalidParam, "from is not a token of this list")
	}
	return &token{at, id}, nil
}
