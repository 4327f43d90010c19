package timeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
	"homeserver/internal/reserve"
)

// selectEvents reads events with two others that clients get beside them: the state
// event that they replaced, and the redaction. Conditions are on e.
const selectEvents = `SELECT ` + eventColumns + ` FROM events e` + besideEvents

const eventColumns = `
	e.event_nid, e.position, e.place, e.room_nid, r.version, e.event_id, e.type, e.state_key, e.sender, e.json, e.device_id, e.txn_id,
	e.relation_type, e.relation_event_id,
	p.event_nid AS prev_nid, p.place AS prev_place, p.event_id AS prev_id, p.sender AS prev_sender, p.json AS prev_json,
	d.event_nid AS redaction_nid, d.place AS redaction_place, d.event_id AS redaction_id, d.json AS redaction_json`

// besideEvents joins the rows that are read beside events e. LIMIT has it looked up for
// each event: joined in one go, PostgreSQL may choose to read the whole table.
const besideEvents = `
	JOIN LATERAL (SELECT version FROM rooms WHERE room_nid = e.room_nid LIMIT 1) r ON true
	LEFT JOIN LATERAL (SELECT event_nid, place, event_id, sender, json FROM events WHERE event_nid = e.replaces LIMIT 1) p ON true
	LEFT JOIN LATERAL (SELECT event_nid, place, event_id, json FROM events WHERE event_nid = e.redacted_by LIMIT 1) d ON true `

// eventRow is a row of selectEvents. One is used for all rows of a query.
type eventRow struct {
	nid, position, place  number
	room                  number
	version               borrowed
	eventID               string
	typ, stateKey, sender borrowed
	json                  []byte
	deviceID, txnID       borrowed
	relationType          borrowed
	relationEventID       borrowed
	prevNID, prevPlace    number
	prevID, prevSender    borrowed
	prevJSON              borrowed
	redactionNID          number
	redactionPlace        number
	redactionID           borrowed
	redactionJSON         []byte
	from                  number // where an interval is read: its beginning
}

// number is a column of integers. NULL is 0.
type number int64

// ScanInt64 makes number a pgtype.Int64Scanner.
func (n *number) ScanInt64(v pgtype.Int8) error {
	*n = number(v.Int64)
	return nil
}

// borrowed is a column that is not copied: it is valid until the next row is read, and
// needs no memory of its own. NULL is nil.
type borrowed []byte

// ScanBytes makes borrowed a pgtype.BytesScanner.
func (b *borrowed) ScanBytes(v []byte) error {
	*b = v
	return nil
}

// columns returns where the columns of selectEvents go, which are one more where intervals are
// read.
func (row *eventRow) columns(rows pgx.Rows) []any {
	all := []any{
		&row.nid, &row.position, &row.place, &row.room, &row.version, &row.eventID, &row.typ, &row.stateKey, &row.sender, &row.json,
		&row.deviceID, &row.txnID, &row.relationType, &row.relationEventID, &row.prevNID, &row.prevPlace, &row.prevID, &row.prevSender, &row.prevJSON,
		&row.redactionNID, &row.redactionPlace, &row.redactionID, &row.redactionJSON, &row.from,
	}
	return all[:len(rows.FieldDescriptions())]
}

// cost estimates the memory of the event of a row, once as a value and once as it is
// encoded.
func (row *eventRow) cost() int {
	const besideJSON = 1 << 10
	return 2*(len(row.json)+len(row.prevJSON)+len(row.redactionJSON)) + besideJSON
}

// event returns the event of a row, or an error if the row is damaged. Damaged data of
// the events beside it is left out.
func (row *eventRow) event() (*Event, error) {
	v, ok := event.LookupVersion(string(row.version))
	if !ok {
		return nil, fmt.Errorf("its room is of unknown version %q", row.version)
	}
	parsed, err := event.ParseTrusted(v, row.eventID, row.json)
	if err != nil {
		return nil, err
	}
	if !row.describes(parsed) {
		return nil, errors.New("its JSON is that of another event")
	}
	e := &Event{
		Event: parsed, Room: journal.RoomNID(row.room),
		NID: EventNID(row.nid), Position: journal.Position(row.position), Place: Place(row.place),
		DeviceID: string(row.deviceID), TxnID: string(row.txnID),
		relation: event.Relation{Type: string(row.relationType), EventID: string(row.relationEventID)},
	}
	if row.prevNID != 0 {
		e.Replaces = &Replaced{
			EventID: string(row.prevID), Sender: string(row.prevSender), NID: EventNID(row.prevNID), Place: Place(row.prevPlace),
		}
		e.Replaces.show(bytes.Clone(contentIn(row.prevJSON)))
	}
	if row.redactionNID != 0 {
		r := &redaction{redacted: parsed}
		if because, err := event.ParseTrusted(v, string(row.redactionID), row.redactionJSON); err == nil {
			r.because = &Event{Event: because, Room: e.Room, NID: EventNID(row.redactionNID), Place: Place(row.redactionPlace)}
		}
		e.redaction.Store(r)
	}
	return e, nil
}

// describes reports whether the columns of the row are those of an event.
func (row *eventRow) describes(e *event.Event) bool {
	if (e.StateKey == nil) != (row.stateKey == nil) || e.StateKey != nil && *e.StateKey != string(row.stateKey) {
		return false
	}
	return e.Type == string(row.typ) && e.Sender == string(row.sender)
}

// contentIn returns the content in the JSON of an event; an empty one if that is
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
	id  string
	nid EventNID
	why error
}

func (d *damaged) name() string { return fmt.Sprintf("event %s at position %d", d.id, d.nid) }

func (d *damaged) err() error {
	return fmt.Errorf("%s is %w: %w", d.name(), postgres.ErrDamaged, d.why)
}

// weight returns how much of the bytes of one read an event uses, as in selectCut.
func (row *eventRow) weight() int64 {
	return int64(len(row.json) + len(row.prevJSON) + len(row.redactionJSON) + weightBesideJSON)
}

const weightBesideJSON = 512

// found is the result of a query.
type found struct {
	List
	from []Place // of each of the events, where intervals are read
	bad  []damaged
}

// sortEvents collects rows of selectEvents, and counts their weight: journal.ErrTooMuch
// if there is another after so many bytes.
func sortEvents(rows pgx.Rows, c *reserve.Counter, most int64) (found, error) {
	var row eventRow
	f := found{List: List{Events: []*Event{}}}
	_, err := pgx.ForEachRow(rows, row.columns(rows), func() error {
		if most <= 0 {
			return journal.ErrTooMuch
		}
		most -= row.weight()
		if row.json == nil {
			f.Left = append(f.Left, Left{journal.RoomNID(row.room), EventNID(row.nid), Place(row.place)})
			return c.Add(int(unsafe.Sizeof(Left{})))
		}
		if err := c.Add(row.cost()); err != nil {
			return err //nolint:wrapcheck // it is the counter's own
		}
		if e, err := row.event(); err == nil {
			f.Events = append(f.Events, e)
			if row.from != 0 {
				f.from = append(f.from, Place(row.from))
			}
		} else {
			f.bad = append(f.bad, damaged{row.eventID, EventNID(row.nid), err})
		}
		return nil
	})
	if err != nil {
		return found{}, fmt.Errorf("read events: %w", err)
	}
	return f, nil
}

// collectSound collects rows of selectEvents. A damaged one is an error, and journal.ErrTooMuch
// where there is another after so many bytes.
func collectSound(rows pgx.Rows, c *reserve.Counter, most int64) ([]*Event, error) {
	f, err := sortEvents(rows, c, most)
	if err == nil && len(f.bad) > 0 {
		err = f.bad[0].err()
	}
	return f.Events, err
}

// readEvents reads the events of a query with the rows of selectEvents:
// journal.ErrTooMuch if there is another after so many bytes; then it returns none.
// Damaged ones are logged.
func (s *Store) readEvents(ctx context.Context, most int64, sql string, args ...any) (f found, err error) {
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		rows, _ := s.pool.Query(ctx, sql, args...)
		f, err = sortEvents(rows, c, most)
		return err
	})
	for i := range f.bad {
		s.damage.Found(ctx, f.bad[i].name(), f.bad[i].why)
	}
	return f, err
}

// Damage returns the log of rows that cannot be read, also for the services above.
func (s *Store) Damage() *postgres.Damage { return s.damage }

// events reads the events of a query that begins with selectEvents, without damaged
// ones.
func (s *Store) events(ctx context.Context, sql string, args ...any) ([]*Event, error) {
	f, err := s.readEvents(ctx, math.MaxInt64, sql, args...)
	return f.Events, err
}

// soundEvents returns events for callers that must not go on without one: damage is an
// error.
func (s *Store) soundEvents(ctx context.Context, sql string, args ...any) (events []*Event, err error) {
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		rows, _ := s.pool.Query(ctx, sql, args...)
		events, err = collectSound(rows, c, math.MaxInt64)
		return err
	})
	return events, err
}

// byNumbers reads the events with the numbers of a query. The numbers are found first
// and the events by them: joined in one go, PostgreSQL may choose to read whole tables,
// as long as it has no statistics.
func byNumbers(query string) string { return selectEvents + whereNumber(query) }

func whereNumber(query string) string { return `WHERE e.event_nid = ANY(ARRAY(` + query + `))` }

// EventByID reads one event of a room. M_NOT_FOUND if it has none of that ID.
func (s *Store) EventByID(ctx context.Context, room journal.RoomNID, eventID string) (*Event, error) {
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

// Snapshot is a part of a room's committed state.
type Snapshot map[event.StateKey]*Event

// Event makes Snapshot an event.State.
func (s Snapshot) Event(evType, stateKey string) *event.Event {
	if e := s[event.StateKey{Type: evType, Key: stateKey}]; e != nil {
		return e.Event
	}
	return nil
}

// CurrentState reads state entries as they are committed now. One that is damaged is
// an error: without it, more might seem to be allowed than is.
func (s *Store) CurrentState(ctx context.Context, room journal.RoomNID, keys []event.StateKey) (Snapshot, error) {
	types, stateKeys := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		types[i], stateKeys[i] = k.Type, k.Key
	}
	events, err := s.soundEvents(ctx, byNumbers(`
		SELECT s.event_nid FROM unnest($2::text[], $3::text[]) AS w(type, state_key)
		CROSS JOIN LATERAL (
			SELECT event_nid FROM room_state
			WHERE room_nid = $1 AND type = w.type AND state_key = w.state_key AND replaced_at IS NULL LIMIT 1) s`),
		room, types, stateKeys)
	if err != nil {
		return nil, err
	}
	found := make(Snapshot, len(events))
	for _, e := range events {
		found[event.StateKey{Type: e.Type, Key: *e.StateKey}] = e
	}
	return found, nil
}

// EventOfTransaction finds the event that a device has sent to a room with a transaction
// ID; "" if there is none. An event of another type, or that redacts another, is another.
func (s *Store) EventOfTransaction(
	ctx context.Context, room journal.RoomNID, sender, device, txn, evType, redacts string,
) (eventID string, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT event_id FROM events
		WHERE sender = $1 AND device_id = $2 AND txn_id = $3 AND room_nid = $4 AND type = $5
			AND coalesce(redacts, '') = $6 AND txn_id IS NOT NULL`,
		sender, device, txn, room, evType, redacts).Scan(&eventID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("find the event of a transaction: %w", err)
	}
	return eventID, nil
}

// newestTried is how many events are tried where the newest ones are damaged.
const newestTried = 10

// NewestEvent returns the newest event that can be read; nil if there is none.
func NewestEvent(ctx context.Context, conn *pgx.Conn) (*event.Event, error) {
	rows, _ := conn.Query(ctx, `
		SELECT r.version, e.event_id, e.json FROM events e JOIN rooms r ON r.room_nid = e.room_nid
		ORDER BY e.event_nid DESC LIMIT $1`, newestTried)
	var newest *event.Event
	var version, id string
	var raw []byte
	_, err := pgx.ForEachRow(rows, []any{&version, &id, &raw}, func() error {
		if v, ok := event.LookupVersion(version); ok && newest == nil {
			if e, err := event.ParseTrusted(v, id, bytes.Clone(raw)); err == nil {
				newest = e
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the newest event: %w", err)
	}
	return newest, nil
}

// StoredEvent reads an event as it is stored, without a check of access: for the
// operator. It returns nil if there is none, and whether the event is redacted: then
// most of it is gone.
func StoredEvent(ctx context.Context, pool *pgxpool.Pool, eventID string) (raw []byte, redacted bool, err error) {
	err = pool.QueryRow(ctx, `SELECT json, redacted_by IS NOT NULL FROM events WHERE event_id = $1`, eventID).Scan(&raw, &redacted)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read event %s: %w", eventID, err)
	}
	return raw, redacted, nil
}

// EventsByID reads the events of some IDs that there are, in any room and in no
// order. It asks nobody whether they may know.
func (s *Store) EventsByID(ctx context.Context, ids []string) ([]*Event, error) {
	return s.events(ctx, selectEvents+`WHERE e.event_id = ANY($1)`, ids)
}
