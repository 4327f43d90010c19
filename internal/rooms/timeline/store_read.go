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

// selectEvents reads events. Conditions are on e. What clients get beside an event of other
// events is read by [found.readBeside], and the version of its room is mostly in memory.
const selectEvents = `SELECT ` + eventColumns + ` FROM events e `

const (
	eventColumns   = `e.event_nid, e.position, e.place, e.room_nid, ` + columnsInEvent
	columnsInEvent = `e.event_id, e.type, e.state_key, e.sender, e.json, e.device_id, e.txn_id,
	e.relation_type, e.relation_event_id, e.replaces, e.redacted_by`
)

// querier is the pool, or one of its connections.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// eventRow is a row of selectEvents. One is used for all rows of a query.
type eventRow struct {
	nid, position, place  number
	room                  number
	eventID               borrowed
	typ, stateKey, sender borrowed
	json                  []byte
	deviceID, txnID       borrowed
	relationType          borrowed
	relationEventID       borrowed
	replaces, redactedBy  number
	from                  number // where an interval is read: its beginning
	recent                recentPlaces
	childless             bool // where a page is read: nothing is aggregated with the event
}

// recentPlaces are read in each row of the recent part of a room: the end of an interval, or -1, and
// both floors of the part.
type recentPlaces struct{ until, floor, stateFloor number }

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

// columns returns where the columns of selectEvents go, and those that are read beside them.
func (row *eventRow) columns(rows pgx.Rows) []any {
	all := []any{
		&row.nid, &row.position, &row.place, &row.room, &row.eventID, &row.typ, &row.stateKey, &row.sender, &row.json, &row.deviceID, &row.txnID,
		&row.relationType, &row.relationEventID, &row.replaces, &row.redactedBy,
	}
	columns := rows.FieldDescriptions() // none where the statement has failed
	for _, column := range columns[min(len(all), len(columns)):] {
		switch column.Name {
		case "held_from":
			all = append(all, &row.from)
		case "until":
			all = append(all, &row.recent.until)
		case "floor":
			all = append(all, &row.recent.floor)
		case "state_floor":
			all = append(all, &row.recent.stateFloor)
		case "childless":
			all = append(all, &row.childless)
		}
	}
	return all
}

// event returns the event of a row without what is beside it, or an error if the row is
// damaged.
func (row *eventRow) event(v *event.Version) (*Event, error) {
	if v == nil {
		return nil, errors.New("its room is of no version that there is")
	}
	parsed, err := event.ParseTrusted(v, string(row.eventID), row.json)
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
		relation: event.Relation{Type: string(row.relationType), EventID: string(row.relationEventID)}, childless: row.childless,
	}
	if row.replaces != 0 {
		e.Replaces = &Replaced{NID: EventNID(row.replaces)}
	}
	if row.redactedBy != 0 {
		e.redaction.Store(&redaction{redacted: parsed, by: EventNID(row.redactedBy)})
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

// damaged is a row of selectEvents that is of no use.
type damaged struct {
	id   string
	nid  EventNID
	room journal.RoomNID
	why  error
}

func (d *damaged) name() string { return fmt.Sprintf("event %s at position %d", d.id, d.nid) }

func (d *damaged) err() error {
	return fmt.Errorf("%s is %w: %w", d.name(), postgres.ErrDamaged, d.why)
}

// found is the result of a query.
type found struct {
	List
	from   []Place     // of each of the events, where intervals are read
	recent []recentRow // where the recent parts of rooms are read
	bad    []damaged
	// unknown are the rooms whose versions have to be read first.
	unknown []journal.RoomNID
	// weight is how many of the bytes of one read the rows take, as in selectCut, and cost
	// how many are counted for them.
	weight int64
	cost   int
}

// weightBesideJSON and costBesideJSON are what an event weighs and costs beside its JSON.
const (
	weightBesideJSON = 512
	costBesideJSON   = 1 << 10
)

// count counts JSON, and what is beside it: once as a value and once as it is encoded.
func (f *found) count(c *reserve.Counter, json, weight, cost int) error {
	f.weight += int64(json + weight)
	cost += 2 * json
	f.cost += cost
	return c.Add(cost) //nolint:wrapcheck // it is the counter's own
}

// readRows reads the events of a query with the rows of selectEvents, and what is beside
// them: journal.ErrTooMuch, and what came before, if there is another after so many bytes.
func readRows(ctx context.Context, db querier, vs *roomVersions, c *reserve.Counter, most int64, sql string, args ...any) (found, error) {
	rows, _ := db.Query(ctx, sql, args...)
	f, err := sortRows(rows, vs, c, most)
	if err == nil && len(f.unknown) > 0 {
		if err := vs.read(ctx, db, f.unknown); err != nil {
			return found{}, err
		}
		_ = c.Add(-f.cost) // nothing fails by needing less
		rows, _ = db.Query(ctx, sql, args...)
		f, err = sortRows(rows, vs, c, most)
	}
	if err != nil {
		return f, err
	}
	return f, f.readBeside(ctx, db, c, most)
}

// sortRows collects rows of selectEvents.
func sortRows(rows pgx.Rows, vs *roomVersions, c *reserve.Counter, most int64) (found, error) {
	var row eventRow
	var last number
	var version *event.Version
	f := found{List: List{Events: []*Event{}}}
	_, err := pgx.ForEachRow(rows, row.columns(rows), func() error {
		if f.weight >= most {
			return journal.ErrTooMuch
		}
		if row.recent.until != 0 {
			f.recent = append(f.recent, recentRow{journal.RoomNID(row.room), EventNID(row.nid), Place(row.from), row.recent})
			if err := f.count(c, 0, 0, int(unsafe.Sizeof(recentRow{}))); err != nil || row.json == nil {
				return err
			}
		}
		if row.json == nil {
			f.Left = append(f.Left, Left{journal.RoomNID(row.room), EventNID(row.nid), Place(row.place)})
			return f.count(c, 0, 0, int(unsafe.Sizeof(Left{})))
		}
		if err := f.count(c, len(row.json), weightBesideJSON, costBesideJSON); err != nil {
			return err
		}
		if row.room != last || version == nil {
			room := journal.RoomNID(row.room)
			v, known := vs.of(room)
			if !known {
				if n := len(f.unknown); n == 0 || f.unknown[n-1] != room {
					f.unknown = append(f.unknown, room)
				}
				return nil
			}
			version, last = v, row.room
		}
		if e, err := row.event(version); err == nil {
			f.Events = append(f.Events, e)
			if row.from != 0 && row.recent.until == 0 {
				f.from = append(f.from, Place(row.from))
			}
		} else {
			f.bad = append(f.bad, damaged{string(row.eventID), EventNID(row.nid), journal.RoomNID(row.room), err})
		}
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("read events: %w", err)
	}
	return f, nil
}

// readSound does the same as readRows where a damaged row is an error.
func readSound(ctx context.Context, db querier, vs *roomVersions, c *reserve.Counter, most int64, sql string, args ...any) ([]*Event, error) {
	f, err := readRows(ctx, db, vs, c, most, sql, args...)
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
		f, err = readRows(ctx, s.pool, s.versions, c, most, sql, args...)
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
		events, err = readSound(ctx, s.pool, s.versions, c, math.MaxInt64, sql, args...)
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
