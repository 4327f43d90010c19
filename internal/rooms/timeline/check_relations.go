package timeline

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// storedRelation is a row of the table of relations, without what stands for an annotation.
type storedRelation struct {
	Room                           journal.RoomNID
	Target                         string
	Place                          Place
	NID                            EventNID
	EventID, RelType, Type, Sender string
	IsState                        bool
	EditedAt                       *int64
}

// relationKey is the key of a row.
type relationKey struct {
	room   journal.RoomNID
	target string
	place  Place
}

func (r *storedRelation) key() relationKey { return relationKey{r.Room, r.Target, r.Place} }

// String names the row in a finding.
func (r *storedRelation) String() string {
	return fmt.Sprintf("the %s of event %s, number %d, to %s", r.RelType, r.EventID, r.NID, r.Target)
}

// differsFrom reports whether a row has something else in it than another of the same key.
func (r *storedRelation) differsFrom(other *storedRelation) bool {
	a, b := *r, *other
	same := (a.EditedAt == nil) == (b.EditedAt == nil) && (a.EditedAt == nil || *a.EditedAt == *b.EditedAt)
	a.EditedAt, b.EditedAt = nil, nil
	return !same || a != b
}

// stored returns the row of an event as it should be.
func (row relationRow) stored() *storedRelation {
	e := row.e
	return &storedRelation{e.Room, row.EventID, e.Place, e.NID, e.ID, row.Type, e.Type, e.Sender, e.StateKey != nil, row.editedAt}
}

// checkRelations compares the table of relations with the events, in both directions. What an
// annotation stands for is not compared: of some that are here twice it is missing.
func checkRelations(ctx context.Context, e *doctor.Exam) error {
	if err := checkRelationsOfEvents(ctx, e); err != nil {
		return err
	}
	return checkEventsOfRelations(ctx, e)
}

// checkRelationsOfEvents finds events whose relation is missing, or is there otherwise.
func checkRelationsOfEvents(ctx context.Context, e *doctor.Exam) error {
	after, versions := EventNID(-1<<63), newRoomVersions()
	for {
		page, err := readRows(ctx, e.Conn, versions, &reserve.Counter{}, math.MaxInt64, selectEvents+`
			WHERE e.event_nid = ANY(ARRAY(
				SELECT r.event_nid FROM events r
				WHERE r.event_nid > $1 AND position('"m.relates_to"'::bytea IN r.json) > 0 AND r.redacted_by IS NULL AND r.place IS NOT NULL
				ORDER BY r.event_nid LIMIT $2))`, after, eventPage)
		if err != nil {
			return fmt.Errorf("read events with relations: %w", err)
		}
		for _, of := range page.Events {
			after = max(after, of.NID)
		}
		for _, bad := range page.bad { // the check of events reports them
			after = max(after, bad.nid)
		}
		if err := compareRelations(ctx, e, page.Events); err != nil || len(page.Events)+len(page.bad) < eventPage {
			return err
		}
	}
}

func compareRelations(ctx context.Context, e *doctor.Exam, events []*Event) error {
	expected := map[relationKey]*Event{}
	room, target, place := []journal.RoomNID{}, []string{}, []Place{}
	for _, of := range events {
		if row, ok := relationOf(of); ok {
			expected[row.stored().key()] = of
			room, target, place = append(room, of.Room), append(target, row.EventID), append(place, of.Place)
		}
	}
	rows, _ := e.Conn.Query(ctx, selectRelations+`
		FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS w(room_nid, target_id, place)
		JOIN relations r ON r.room_nid = w.room_nid AND r.target_id = w.target_id AND r.place = w.place`, room, target, place)
	found, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[storedRelation])
	if err != nil {
		return fmt.Errorf("read relations: %w", err)
	}
	for _, row := range found {
		if of := expected[row.key()]; of != nil {
			if wanted, _ := relationOf(of); !row.differsFrom(wanted.stored()) {
				delete(expected, row.key())
			}
		}
	}
	return repairRelations(ctx, e, slices.Collect(maps.Values(expected)))
}

const selectRelations = `
	SELECT r.room_nid, r.target_id, r.place, r.event_nid, r.event_id, r.rel_type, r.type, r.sender, r.is_state, r.edited_at `

// repairRelations writes the relations of events, but for those that were redacted meanwhile.
func repairRelations(ctx context.Context, e *doctor.Exam, events []*Event) error {
	numbers := make([]EventNID, len(events))
	for i, of := range events {
		numbers[i] = of.NID
	}
	rows, _ := e.Conn.Query(ctx, `SELECT event_nid FROM events WHERE event_nid = ANY($1) AND redacted_by IS NULL`, numbers)
	still, err := pgx.CollectRows(rows, pgx.RowTo[EventNID])
	if err != nil {
		return fmt.Errorf("look at events again: %w", err)
	}
	repairs := &pgx.Batch{}
	for _, of := range events {
		if !slices.Contains(still, of.NID) {
			continue
		}
		row, _ := relationOf(of)
		if !e.Repair {
			e.Found(notAsItShouldBe, row.stored())
			continue
		}
		e.Repaired(notAsItShouldBe, row.stored())
		row.queueRepair(repairs)
	}
	if err := e.Conn.SendBatch(ctx, repairs).Close(); err != nil {
		return fmt.Errorf("repair relations: %w", err)
	}
	return nil
}

const notAsItShouldBe = "%s is not in the table of relations as it should be"

func (row relationRow) queueRepair(b *pgx.Batch) {
	r := row.stored()
	b.Queue(`
		INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state, edited_at, annotation)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN NOT EXISTS (
			SELECT FROM relations r WHERE r.room_nid = $1 AND r.target_id = $2 AND r.annotation = $11::bytea AND r.place <> $3) THEN $11::bytea END
		ON CONFLICT (room_nid, target_id, place) DO UPDATE
		SET event_nid = excluded.event_nid, event_id = excluded.event_id, rel_type = excluded.rel_type, type = excluded.type,
			sender = excluded.sender, is_state = excluded.is_state, edited_at = excluded.edited_at, annotation = excluded.annotation`,
		r.Room, r.Target, r.Place, r.NID, r.EventID, r.RelType, r.Type, r.Sender, r.IsState, r.EditedAt, row.annotation)
}

// checkEventsOfRelations finds relations of events that have no such relation.
func checkEventsOfRelations(ctx context.Context, e *doctor.Exam) error {
	var after storedRelation
	for {
		rows, _ := e.Conn.Query(ctx, selectRelations+`, v.version, e.json
			FROM (SELECT * FROM relations WHERE (room_nid, target_id, place) > ($1, $2, $3) ORDER BY room_nid, target_id, place LIMIT $4) r
			LEFT JOIN events e ON e.event_nid = r.event_nid AND e.redacted_by IS NULL AND e.room_nid = r.room_nid AND e.place = r.place
			LEFT JOIN rooms v ON v.room_nid = r.room_nid
			ORDER BY r.room_nid, r.target_id, r.place`, after.Room, after.Target, after.Place, eventPage)
		page, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[struct {
			storedRelation
			Version *string
			JSON    []byte
		}])
		if err != nil {
			return fmt.Errorf("read relations: %w", err)
		}
		removals := &pgx.Batch{}
		for _, row := range page {
			if row.JSON == nil || row.Version == nil || !isRelated(*row.Version, row.JSON, &row.storedRelation) {
				row.remove(e, removals)
			}
		}
		if err := e.Conn.SendBatch(ctx, removals).Close(); err != nil {
			return fmt.Errorf("remove relations: %w", err)
		}
		if len(page) < eventPage {
			return nil
		}
		after = page[len(page)-1].storedRelation
	}
}

// isRelated reports whether the bytes of an event say what a relation does. It is true for an
// event that cannot be read, which another check reports.
func isRelated(version string, raw []byte, row *storedRelation) bool {
	v, ok := event.LookupVersion(version)
	if !ok {
		return true
	}
	parsed, err := event.ParseTrusted(v, row.EventID, raw)
	if err != nil {
		return true
	}
	relation := event.RelationOf(parsed.Content)
	return relation == event.Relation{Type: row.RelType, EventID: row.Target}
}

// remove removes a row that the event does not have.
func (r *storedRelation) remove(e *doctor.Exam, b *pgx.Batch) {
	const has = "%s is in the table of relations, and the event has none, or another"
	if !e.Repair {
		e.Found(has, r)
		return
	}
	e.Repaired(has, r)
	b.Queue(`DELETE FROM relations WHERE room_nid = $1 AND target_id = $2 AND place = $3`, r.Room, r.Target, r.Place)
}

// countedThreads is the threads of rooms as their relations have them.
const countedThreads = `
	SELECT room_nid, target_id AS root_id, max(place) AS last_place, count(*) AS replies
	FROM relations WHERE rel_type = '` + event.RelThread + `' GROUP BY room_nid, target_id`

// checkThreads finds threads whose numbers are not those of their relations.
func checkThreads() doctor.Check {
	return doctor.Rows{
		Title: "Threads: replies",
		Find: `
		SELECT format('the thread of %s has %s replies up to place %s, and counts %s up to %s', coalesce(t.root_id, c.root_id),
			coalesce(c.replies, 0), coalesce(c.last_place, 0), coalesce(t.replies, 0), coalesce(t.last_place, 0))
		FROM threads t FULL JOIN (` + countedThreads + `) c ON c.room_nid = t.room_nid AND c.root_id = t.root_id
		WHERE (t.replies, t.last_place) IS DISTINCT FROM (c.replies, c.last_place)`,
		Repair: []string{
			`DELETE FROM threads t WHERE NOT EXISTS (
				SELECT FROM (` + countedThreads + `) c
				WHERE (c.room_nid, c.root_id, c.replies, c.last_place) = (t.room_nid, t.root_id, t.replies, t.last_place))`,
			`INSERT INTO threads (room_nid, root_id, last_place, replies) ` + countedThreads + ` ON CONFLICT DO NOTHING`,
		},
	}.Check()
}

// wrongRoots joins the roots to threads t that do not know them.
const wrongRoots = `events e
	WHERE e.event_id = t.root_id AND e.room_nid = t.room_nid
		AND (t.root_nid, t.root_place, t.root_sender) IS DISTINCT FROM (e.event_nid, e.place, e.sender)`

// checkThreadRoots finds threads whose roots are here, and that do not know them.
func checkThreadRoots() doctor.Check {
	return doctor.Rows{
		Title:  "Threads: roots",
		Find:   `SELECT format('the thread of %s does not know its root', t.root_id) FROM threads t, ` + wrongRoots,
		Repair: []string{`UPDATE threads t SET root_nid = e.event_nid, root_place = e.place, root_sender = e.sender FROM ` + wrongRoots},
	}.Check()
}
