package timeline

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
)

// aggregationsQuery asks for what is bundled with some events.
type aggregationsQuery struct {
	userID  string
	ignored []string
	lists   []Aggregated
	parents []*parent // those of the events that something may be aggregated with

	// The columns of the parents.
	room                    []int64
	id, sender, evType      []string
	upTo                    []int64
	seen                    []string
	whole, editable, isRoot []bool

	ranges string // those of the list that was begun last
}

// begin begins a list of events, all of which share what the reader may see.
func (q *aggregationsQuery) begin(list *Aggregated) {
	q.ranges = multirange(list.Access.Ranges(0, list.UpTo))
}

// multirange returns ranges of places as PostgreSQL has them.
func multirange(ranges []Range) string {
	text := []byte{'{'}
	for i, r := range ranges {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(append(text, '['), int64(r.From), 10)
		text = append(strconv.AppendInt(append(text, ','), int64(r.To), 10), ']')
	}
	return string(append(text, '}'))
}

func (q *aggregationsQuery) add(p *parent) {
	q.parents = append(q.parents, p)
	q.room, q.upTo = append(q.room, int64(p.Room)), append(q.upTo, int64(p.upTo))
	q.id, q.sender, q.evType = append(q.id, p.ID), append(q.sender, p.Sender), append(q.evType, p.Type)
	q.seen = append(q.seen, q.ranges)
	q.whole = append(q.whole, p.access.SeesAll(p.Place, p.upTo))
	q.editable, q.isRoot = append(q.editable, p.isEditable()), append(q.isRoot, p.isRoot())
}

// Parts of the statement. Relations r are those that the reader p may see as of then. Replies are
// found by their places, or by their sender.
const (
	seenRelation = ` r.place <= p.up_to AND r.place <@ p.seen AND r.sender <> ALL($10::text[]) `
	replies      = ` FROM relations r WHERE r.room_nid = p.room_nid AND r.target_id = p.id AND r.rel_type = ` + threadByPlace + ` `
	repliesBy    = ` FROM relations r WHERE r.room_nid = p.room_nid AND r.target_id = p.id AND r.rel_type = '` + event.RelThread + `' AND r.sender = `
)

// latestEdit selects the latest edit of an event with some columns.
func latestEdit(room, id, sender, evType string) string {
	return `(SELECT r.event_nid FROM relations r
		WHERE r.room_nid = ` + room + ` AND r.target_id = ` + id + ` AND r.sender = ` + sender + ` AND r.type = ` + evType + `
			AND r.edited_at IS NOT NULL AND` + seenRelation + `
		ORDER BY r.edited_at DESC, r.event_id COLLATE "C" DESC LIMIT 1)`
}

// references selects the newest events that refer to one.
func references(id string) string {
	return `(SELECT array_agg(n.event_id ORDER BY n.place) AS ids FROM (
		SELECT r.event_id, r.place FROM relations r
		WHERE r.room_nid = p.room_nid AND r.target_id = ` + id + ` AND r.rel_type = '` + event.RelReference + `' AND` + seenRelation + `
		ORDER BY r.place DESC LIMIT ` + strconv.Itoa(MaxReferences) + `) n)`
}

// hasChildren is the condition that there are events of the types that are aggregated with an event.
func hasChildren(room, id string) string {
	return `EXISTS (
			SELECT FROM relations r WHERE r.room_nid = ` + room + ` AND r.target_id = ` + id + `
				AND r.rel_type BETWEEN '` + event.RelReference + `' AND '` + event.RelThread + `' OFFSET 0)`
}

// childless is a column beside events e: nothing is aggregated with the event. Most pages have
// nothing to ask for then. With OFFSET 0 PostgreSQL looks for each event, and does not gather all
// relations.
var childless = `, e.state_key IS NOT NULL OR NOT ` + hasChildren("e.room_nid", "e.event_id") + ` AS childless`

// selectAggregations reads what is bundled with events: a row for each event that has children
// of such a type, which is found by one look into an index. The subqueries are there for the
// reason that eachWindow states. The number of replies is known where the reader sees all of
// them but those of ignored users and later ones.
var selectAggregations = `
	WITH parents AS (
		SELECT p.room_nid, p.id, p.sender, p.type, p.up_to, p.seen::int8multirange AS seen, p.whole, p.editable, p.is_root, p.n
		FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::bigint[]),
			(SELECT $6::text[]), (SELECT $7::boolean[]), (SELECT $8::boolean[]), (SELECT $9::boolean[])) WITH ORDINALITY AS p(room_nid, id, sender, type, up_to, seen, whole, editable, is_root, n)
		WHERE ` + hasChildren("p.room_nid", "p.id") + `)
	SELECT p.n, edit.event_nid, refs.ids, latest.event_nid, CASE
			WHEN latest.event_nid IS NULL THEN 0
			WHEN p.whole THEN (SELECT t.replies FROM threads t WHERE t.room_nid = p.room_nid AND t.root_id = p.id)
				- (SELECT count(*)` + replies + `AND r.place > p.up_to)
				- (SELECT coalesce(sum(by.replies), 0)::bigint FROM unnest($10::text[]) AS ignored(sender)
					CROSS JOIN LATERAL (SELECT count(*) AS replies` + repliesBy + `ignored.sender AND r.place <= p.up_to) by)
			ELSE (SELECT count(*) FROM (SELECT` + replies + `AND` + seenRelation + `LIMIT ` + strconv.Itoa(MaxCounted) + `) r) END,
		latest.event_nid IS NOT NULL AND (p.sender = $11 OR EXISTS (SELECT` + repliesBy + `$11 AND` + seenRelation + `)),
		latest_edit.event_nid, latest_refs.ids
	FROM parents p
	LEFT JOIN LATERAL ` + latestEdit("p.room_nid", "p.id", "p.sender", "p.type") + ` edit ON p.editable
	LEFT JOIN LATERAL ` + references("p.id") + ` refs ON true
	LEFT JOIN LATERAL (
		SELECT r.event_nid, r.event_id, r.sender, r.type, r.is_state` + replies + `AND` + seenRelation + `ORDER BY r.place DESC LIMIT 1) latest ON p.is_root
	LEFT JOIN LATERAL ` + latestEdit("p.room_nid", "latest.event_id", "latest.sender", "latest.type") + ` latest_edit ON NOT latest.is_state
	LEFT JOIN LATERAL ` + references("latest.event_id") + ` latest_refs ON NOT latest.is_state`

// aggregationRow is a row of selectAggregations.
type aggregationRow struct {
	n                        int
	edit, latest, latestEdit *EventNID
	refs, latestRefs         []string
	count                    int64
	participated             bool
}

// readAggregations reads what is bundled with the events of a query.
func (s *Store) readAggregations(ctx context.Context, q *aggregationsQuery, all Aggregations) error {
	if len(q.parents) == 0 {
		return nil
	}
	if q.ignored == nil {
		q.ignored = []string{}
	}
	rows, _ := s.pool.Query(ctx, selectAggregations,
		q.room, q.id, q.sender, q.evType, q.upTo, q.seen, q.whole, q.editable, q.isRoot, q.ignored, q.userID)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r aggregationRow, err error) {
		err = row.Scan(&r.n, &r.edit, &r.refs, &r.latest, &r.count, &r.participated, &r.latestEdit, &r.latestRefs)
		return r, err
	})
	if err != nil {
		return fmt.Errorf("read what is bundled with events: %w", err)
	}
	events, err := s.bundledEvents(ctx, q, found)
	if err != nil {
		return err
	}
	for _, row := range found {
		if a := row.aggregation(events); a != nil {
			all[q.parents[row.n-1].NID] = a
		}
	}
	return nil
}

// bundledEvents returns the events that are bundled. Often they are among those that are
// listed; of others it reads as many as one read may bring.
func (s *Store) bundledEvents(ctx context.Context, q *aggregationsQuery, found []aggregationRow) (map[EventNID]*Event, error) {
	events := map[EventNID]*Event{}
	if len(found) > 0 {
		for _, list := range q.lists {
			for _, e := range list.Events {
				events[e.NID] = e
			}
		}
	}
	var numbers []EventNID
	for _, row := range found {
		for _, nid := range []*EventNID{row.edit, row.latest, row.latestEdit} {
			if nid != nil && events[*nid] == nil {
				numbers = append(numbers, *nid)
			}
		}
	}
	if len(numbers) == 0 {
		return events, nil
	}
	list, err := s.EventsOf(ctx, numbers)
	for _, e := range list.Events {
		events[e.NID] = e
	}
	return events, err
}

// aggregation returns the aggregation of a row, whose events were read; nil: there is none.
func (row *aggregationRow) aggregation(events map[EventNID]*Event) *Aggregation {
	event := func(nid *EventNID) *Event {
		if nid == nil {
			return nil
		}
		return events[*nid]
	}
	a := &Aggregation{Replace: event(row.edit), References: row.refs}
	if latest := event(row.latest); latest != nil {
		a.Thread = &ThreadSummary{
			Latest: latest, Count: row.count, Participated: row.participated,
			latest: Aggregation{Replace: event(row.latestEdit), References: row.latestRefs},
		}
	}
	if a.Replace == nil && a.References == nil && a.Thread == nil {
		return nil
	}
	return a
}
