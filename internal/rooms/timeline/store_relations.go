package timeline

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// withRelations makes the statement that inserts events insert their relations, too.
const withRelations = `
	, related AS (SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[],
		%s::text[], %s::boolean[], %s::bigint[], %s::bytea[])
		AS n(room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state, edited_at, annotation))
	, stored AS (INSERT INTO relations SELECT * FROM related)
	INSERT INTO threads (room_nid, root_id, last_place, replies)
	SELECT room_nid, target_id, max(place), count(*) FROM related WHERE rel_type = '` + event.RelThread + `' GROUP BY room_nid, target_id
	ON CONFLICT (room_nid, root_id) DO UPDATE
	SET last_place = greatest(threads.last_place, excluded.last_place), replies = threads.replies + excluded.replies`

// relationColumns are rows of the table of relations, as columns.
type relationColumns struct {
	room                                []journal.RoomNID
	target, id, relType, evType, sender []string
	place                               []Place
	nid                                 []EventNID
	isState                             []bool
	editedAt                            []*int64
	annotation                          [][]byte
}

func (c *relationColumns) add(e *Event) {
	row, ok := relationOf(e)
	if !ok {
		return
	}
	c.room, c.target, c.place, c.nid = append(c.room, e.Room), append(c.target, row.EventID), append(c.place, e.Place), append(c.nid, e.NID)
	c.id, c.relType, c.evType, c.sender = append(c.id, e.ID), append(c.relType, row.Type), append(c.evType, e.Type), append(c.sender, e.Sender)
	c.isState, c.editedAt = append(c.isState, e.StateKey != nil), append(c.editedAt, row.editedAt)
	c.annotation = append(c.annotation, row.annotation)
}

// into returns the statement that inserts events, and its arguments, with the relations of
// those that have one.
func (c *relationColumns) into(insert string, args []any) (string, []any) {
	if len(c.room) == 0 {
		return insert, args
	}
	q := &query{args}
	var names []any
	for _, column := range []any{
		c.room, c.target, c.place, c.nid, c.id, c.relType, c.evType, c.sender, c.isState, c.editedAt, c.annotation,
	} {
		names = append(names, q.arg(column))
	}
	return `WITH written AS (` + insert + `)` + fmt.Sprintf(withRelations, names...), q.args
}

// threadByPlace is the type of relations in a thread for queries that go by places. Where
// PostgreSQL sees the constant, it may choose the index of who takes part in threads, which is
// smaller, and read all replies of one.
const threadByPlace = `(SELECT '` + event.RelThread + `'::text)`

// queueUnrelate removes the relation of an event that is redacted. What is unread goes on
// being counted by the columns of the event.
func queueUnrelate(b *pgx.Batch, e *Event, relation event.Relation) {
	switch relation.Type {
	case "":
	case event.RelThread:
		b.Queue(`
			WITH gone AS (DELETE FROM relations WHERE room_nid = $1 AND target_id = $2 AND place = $3 RETURNING 1)
			UPDATE threads SET replies = replies - 1, last_place = coalesce((
				SELECT max(place) FROM relations
				WHERE room_nid = $1 AND target_id = $2 AND rel_type = `+threadByPlace+` AND place <> $3), 0)
			WHERE room_nid = $1 AND root_id = $2 AND EXISTS (SELECT FROM gone)`, e.Room, relation.EventID, e.Place)
		b.Queue(`DELETE FROM threads WHERE room_nid = $1 AND root_id = $2 AND replies = 0`, e.Room, relation.EventID)
	default:
		b.Queue(`DELETE FROM relations WHERE room_nid = $1 AND target_id = $2 AND place = $3`, e.Room, relation.EventID, e.Place)
	}
}

// IsAnnotated reports whether an event of a room is annotated so.
func (s *Store) IsAnnotated(ctx context.Context, roomID string, a Annotation) (is bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM relations
			WHERE room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND target_id = $2 AND annotation = $3 AND annotation IS NOT NULL)`,
		roomID, a.Target, a.hash()).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("look for an annotation: %w", err)
	}
	return is, nil
}

// The depth to which relations are followed, which the specification suggests, and how many
// events of each depth are looked at for what is related to them.
const (
	RecursionDepth = 3
	maxRecursed    = 5000
)

// relationsQuery is the query of a page of relations.
type relationsQuery struct {
	query
	*RelationsPage
	filter *EventFilter
	// match are the conditions on each relation r.
	match, order string
}

// newRelationsQuery begins the query of a room. Ranges are the places up to the end of the
// page that the reader may see.
func newRelationsQuery(room journal.RoomNID, p *RelationsPage, f *EventFilter, ranges []Range) *relationsQuery {
	q := &relationsQuery{RelationsPage: p, filter: f, order: ` ORDER BY r.place`}
	if p.Backward {
		q.order += ` DESC`
	}
	from, to := columnsOfRanges(ranges)
	q.match = ` r.room_nid = ` + q.arg(room) + ` AND r.place <= ` + q.arg(to[len(to)-1]) +
		` AND EXISTS (SELECT FROM unnest(` + q.arg(from) + `::bigint[], ` + q.arg(to) + `::bigint[]) AS w(low, high)
		WHERE r.place BETWEEN w.low AND w.high)`
	if p.RelType != "" {
		q.match += ` AND r.rel_type = (SELECT ` + q.arg(p.RelType) + `::text)` // as with threadByPlace
	}
	if p.EventType != "" {
		q.match += ` AND r.type = ` + q.arg(p.EventType)
	}
	if f != nil && len(f.ignored) > 0 {
		q.match += ` AND (r.is_state OR r.sender <> ALL(` + q.arg(f.ignored) + `::text[]))`
	}
	if f != nil && len(f.not) > 0 {
		q.match += ` AND r.event_nid <> ALL(` + q.arg(f.not) + `::bigint[])`
	}
	return q
}

// numbers returns the query of the numbers of the events on the page, which lie after a
// place, and of one more.
func (q *relationsQuery) numbers(target string, after Place) string {
	onPage, limit := ` AND r.place > `+q.arg(after), q.order+` LIMIT `+q.arg(q.Limit+1)
	parent := q.arg(target)
	if !q.Recurse {
		return `SELECT r.event_nid FROM relations r WHERE` + q.match + ` AND r.target_id = ` + parent + onPage + limit
	}
	// One after the other, since what is recursive in SQL has no bound of its own.
	most := ` LIMIT ` + strconv.Itoa(maxRecursed)
	with := `WITH depth1 AS (` + q.nearest(parent, after) + `)`
	all := `SELECT * FROM depth1`
	for depth := 2; depth <= RecursionDepth; depth++ {
		before, this := fmt.Sprint("depth", depth-1), fmt.Sprint("depth", depth)
		with += `, ` + this + ` AS (SELECT c.* FROM ` + before + ` p CROSS JOIN LATERAL (` + q.nearest(`p.event_id`, after) + `) c` + most + `)`
		all += ` UNION SELECT * FROM ` + this
	}
	return with + ` SELECT r.event_nid FROM (` + all + `) r WHERE true` + onPage + limit
}

// nearest returns the query of what is related to a target, as far as it may be on the page, or
// something that is related to it: what comes later than its parent. Of a page forward that is
// as much as the page has, and what is before the page, the newest first.
func (q *relationsQuery) nearest(target string, after Place) string {
	children := `SELECT r.event_nid, r.event_id, r.place FROM relations r WHERE` + q.match + ` AND r.target_id = ` + target
	most := ` LIMIT ` + strconv.Itoa(maxRecursed)
	if q.Backward {
		return children + q.order + most
	}
	begin := q.arg(after)
	return `(` + children + ` AND r.place > ` + begin + q.order + ` LIMIT ` + q.arg(q.Limit+1) + `)
		UNION ALL (` + children + ` AND r.place <= ` + begin + ` ORDER BY r.place DESC` + most + `)`
}
