package rooms

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/damage"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// selectEvents reads events with what clients are told beside them: the state
// event that they replaced, and the redaction. Conditions go on e (and r).
const selectEvents = `
	SELECT e.position, e.room_nid, r.version, e.event_id, e.type, e.state_key, e.sender, e.json,
		coalesce(e.device_id, '') AS device_id, coalesce(e.txn_id, '') AS txn_id,
		p.position AS prev_position, p.event_id AS prev_id, p.sender AS prev_sender, p.json AS prev_json,
		d.position AS redaction_position, d.event_id AS redaction_id, d.json AS redaction_json
	FROM events e
	JOIN rooms r ON r.room_nid = e.room_nid
	LEFT JOIN events p ON p.position = e.replaces
	LEFT JOIN events d ON d.position = e.redacted_by `

// eventRow is a row of selectEvents.
type eventRow struct {
	Position journal.Position `db:"position"`
	Room     journal.RoomNID  `db:"room_nid"`
	Version  string           `db:"version"`
	EventID  string           `db:"event_id"`
	Type     string           `db:"type"`
	StateKey *string          `db:"state_key"`
	Sender   string           `db:"sender"`
	JSON     []byte           `db:"json"`
	DeviceID string           `db:"device_id"`
	TxnID    string           `db:"txn_id"`

	PrevPosition *journal.Position `db:"prev_position"`
	PrevID       *string           `db:"prev_id"`
	PrevSender   *string           `db:"prev_sender"`
	PrevJSON     []byte            `db:"prev_json"`

	RedactionPosition *journal.Position `db:"redaction_position"`
	RedactionID       *string           `db:"redaction_id"`
	RedactionJSON     []byte            `db:"redaction_json"`
}

// event gives the event of a row, or an error if the row is damaged. What it tells
// of others that are damaged is left out.
func (row *eventRow) event() (*Event, error) {
	v, ok := event.LookupVersion(row.Version)
	if !ok {
		return nil, fmt.Errorf("its room is of unknown version %q", row.Version)
	}
	parsed, err := event.ParseTrusted(v, row.EventID, row.JSON)
	if err != nil {
		return nil, err
	}
	if !row.describes(parsed) {
		return nil, errors.New("its JSON is that of another event")
	}
	e := &Event{Event: parsed, Room: row.Room, Position: row.Position, DeviceID: row.DeviceID, TxnID: row.TxnID}
	if row.PrevPosition != nil {
		e.Replaces = &Replaced{EventID: *row.PrevID, Sender: *row.PrevSender, Position: *row.PrevPosition}
		e.Replaces.show(contentIn(row.PrevJSON))
	}
	if row.RedactionPosition != nil {
		r := &redaction{redacted: parsed}
		if because, err := event.ParseTrusted(v, *row.RedactionID, row.RedactionJSON); err == nil {
			r.because = &Event{Event: because, Room: row.Room, Position: *row.RedactionPosition}
		}
		e.redaction.Store(r)
	}
	return e, nil
}

// describes reports whether the columns of the row are those of an event.
func (row *eventRow) describes(e *event.Event) bool {
	if (e.StateKey == nil) != (row.StateKey == nil) || e.StateKey != nil && *e.StateKey != *row.StateKey {
		return false
	}
	return e.Type == row.Type && e.Sender == row.Sender
}

// contentIn gives the content in the JSON of an event; an empty one if that is
// damaged.
func contentIn(raw []byte) []byte {
	content := event.Field(raw, "content")
	if len(content) == 0 || content[0] != '{' || !event.IsJSON(content) {
		return []byte(`{}`)
	}
	return content
}

// damaged is a row of selectEvents that is of no use.
type damaged struct {
	id       string
	position journal.Position
	why      error
}

func (d *damaged) name() string { return fmt.Sprintf("event %s at position %d", d.id, d.position) }

func (d *damaged) err() error { return fmt.Errorf("%s is %w: %w", d.name(), damage.ErrDamaged, d.why) }

// sortEvents collects rows of selectEvents. Those that are damaged are given apart.
func sortEvents(rows pgx.Rows) (events []*Event, bad []damaged, err error) {
	found, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[eventRow])
	if err != nil {
		return nil, nil, fmt.Errorf("read events: %w", err)
	}
	events = make([]*Event, 0, len(found))
	for _, row := range found {
		if e, err := row.event(); err == nil {
			events = append(events, e)
		} else {
			bad = append(bad, damaged{row.EventID, row.Position, err})
		}
	}
	return events, bad, nil
}

// collectEvents collects rows of selectEvents. A damaged one is an error.
func collectEvents(rows pgx.Rows) ([]*Event, error) {
	events, bad, err := sortEvents(rows)
	if err == nil && len(bad) > 0 {
		err = bad[0].err()
	}
	return events, err
}

// readEvents reads the events that a query gives, which begins with selectEvents.
// The log is told of those that are damaged.
func (s *Service) readEvents(ctx context.Context, sql string, args ...any) ([]*Event, []damaged, error) {
	rows, _ := s.pool.Query(ctx, sql, args...)
	events, bad, err := sortEvents(rows)
	for i := range bad {
		s.damage.Found(ctx, bad[i].name(), bad[i].why)
	}
	return events, bad, err
}

// Damage is what the service tells of rows that cannot be read, as do those that
// stand on it.
func (s *Service) Damage() *damage.Log { return s.damage }

// events reads the events that a query gives, which begins with selectEvents, but
// for damaged ones.
func (s *Service) events(ctx context.Context, sql string, args ...any) ([]*Event, error) {
	events, _, err := s.readEvents(ctx, sql, args...)
	return events, err
}

// soundEvents is events for who must not go on without one: damage is an error.
func (s *Service) soundEvents(ctx context.Context, sql string, args ...any) ([]*Event, error) {
	rows, _ := s.pool.Query(ctx, sql, args...)
	return collectEvents(rows)
}

// eventsAt reads the events at the positions that a query gives, as far as
// further conditions let through, in the order of positions. The positions are
// found first and the events by them: joined in one go, PostgreSQL may choose to
// read whole tables, as long as it has no statistics.
func (s *Service) eventsAt(ctx context.Context, positions, conditions string, args ...any) ([]*Event, error) {
	return s.events(ctx, atPositions(positions)+conditions+inOrder, args...)
}

const inOrder = ` ORDER BY e.position`

func atPositions(query string) string {
	return selectEvents + `WHERE e.position = ANY(ARRAY(` + query + `))`
}

// pagesOfDamage bounds how often a page is read again because of damaged events.
// Where there are more of them, the page is shorter than it could be.
const pagesOfDamage = 10

// page reads a page of events, in the order of positions, for who concludes from the
// number of them whether there are more. The positions are those of a query that is
// made for a filter, and of a length that is bounded: damaged events do not count.
func (s *Service) page(ctx context.Context, f *EventFilter, positions func(f *EventFilter) (sql string, args []any)) ([]*Event, error) {
	for i := 0; ; i++ {
		sql, args := positions(f)
		events, bad, err := s.readEvents(ctx, atPositions(sql)+inOrder, args...)
		if err != nil || len(bad) == 0 || i == pagesOfDamage {
			return events, err
		}
		at := make([]journal.Position, len(bad))
		for i := range bad {
			at[i] = bad[i].position
		}
		f = f.withoutEvents(at)
	}
}

// eventByID reads one event of a room. M_NOT_FOUND if it has none of that ID.
func (s *Service) eventByID(ctx context.Context, room journal.RoomNID, eventID string) (*Event, error) {
	if !matrix.IsEventID(eventID) {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such event")
	}
	events, err := s.soundEvents(ctx, selectEvents+`WHERE e.event_id = $1 AND e.room_nid = $2`, eventID, room)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such event")
	}
	return events[0], nil
}

// currentState reads state entries as they are committed now. One that is damaged is
// an error: without it, more might seem to be allowed than is.
func (s *Service) currentState(ctx context.Context, room journal.RoomNID, keys []event.StateKey) (map[event.StateKey]*Event, error) {
	types, stateKeys := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		types[i], stateKeys[i] = k.Type, k.Key
	}
	events, err := s.soundEvents(ctx, atPositions(`
		SELECT s.position FROM unnest($2::text[], $3::text[]) AS w(type, state_key)
		CROSS JOIN LATERAL (
			SELECT position FROM room_state
			WHERE room_nid = $1 AND type = w.type AND state_key = w.state_key AND replaced_at IS NULL LIMIT 1) s`),
		room, types, stateKeys)
	if err != nil {
		return nil, err
	}
	found := make(map[event.StateKey]*Event, len(events))
	for _, e := range events {
		found[event.StateKey{Type: e.Type, Key: *e.StateKey}] = e
	}
	return found, nil
}

// byTransaction finds the event that a request with this transaction ID has
// sent before. Where there is none, the answer is the error given.
func (s *Service) byTransaction(ctx context.Context, room journal.RoomNID, d *draft, otherwise error) (eventID string, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT event_id FROM events
		WHERE sender = $1 AND device_id = $2 AND txn_id = $3 AND room_nid = $4 AND type = $5
			AND coalesce(redacts, '') = $6 AND txn_id IS NOT NULL`,
		d.sender, d.device, d.txn, room, d.typ, d.redacts()).Scan(&eventID)
	if isMissing(err) {
		return "", otherwise
	}
	if err != nil {
		return "", fmt.Errorf("find the event of a transaction: %w", err)
	}
	s.recent.put(room, d, &sent{eventID: eventID})
	return eventID, nil
}

// access reads what a user may see of a room, as of now.
func (s *Service) access(ctx context.Context, room journal.RoomNID, userID string) (*Access, error) {
	changes, err := s.accessChanges(ctx, []journal.RoomNID{room}, userID)
	if err != nil {
		return nil, err
	}
	c := changes[room]
	if c == nil {
		c = &AccessChanges{}
	}
	return NewAccess(c.Visibilities, c.Memberships), nil
}

// AccessChanges is what a user's access to a room is worked out from.
type AccessChanges struct{ Visibilities, Memberships []Change }

// accessChanges reads the changes of history visibility and of one user's
// membership in rooms, in the order of positions.
func (s *Service) accessChanges(ctx context.Context, rooms []journal.RoomNID, userID string) (map[journal.RoomNID]*AccessChanges, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT s.room_nid, s.type, s.position, coalesce(s.value, '') FROM room_state s
		WHERE s.room_nid = ANY($1) AND (
			s.type = 'm.room.history_visibility' AND s.state_key = ''
			OR s.type = 'm.room.member' AND s.state_key = $2 AND NOT EXISTS (
				SELECT FROM forgotten_rooms f
				WHERE f.user_id = $2 AND f.room_nid = s.room_nid AND f.position >= s.position))
		ORDER BY s.position`, rooms, userID)
	if err != nil {
		return nil, fmt.Errorf("read access of %s: %w", userID, err)
	}
	found := map[journal.RoomNID]*AccessChanges{}
	var room journal.RoomNID
	var typ string
	var c Change
	_, err = pgx.ForEachRow(rows, []any{&room, &typ, &c.From, &c.Value}, func() error {
		if found[room] == nil {
			found[room] = &AccessChanges{}
		}
		if typ == event.TypeMember {
			found[room].Memberships = append(found[room].Memberships, c)
		} else {
			found[room].Visibilities = append(found[room].Visibilities, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read access of %s: %w", userID, err)
	}
	return found, nil
}

// Number gives the number of a room; M_NOT_FOUND if there is none of that ID.
func (s *Service) Number(ctx context.Context, roomID string) (journal.RoomNID, error) {
	if r, ok := s.live.Peek(roomID); ok {
		return r.nid, nil
	}
	row, err := s.lookup(ctx, roomID)
	if err != nil {
		return 0, err
	}
	return row.NID, nil
}

// isMissing reports whether a query found no row.
func isMissing(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
