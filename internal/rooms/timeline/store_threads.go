package timeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/reserve"
)

// queueThreadRoots notes the roots of the threads that have replies among the rows, where
// they are not known yet.
func (c *relationColumns) queueThreadRoots(b *pgx.Batch) {
	if !slices.Contains(c.relType, event.RelThread) {
		return
	}
	b.Queue(`
		UPDATE threads t SET root_nid = e.event_nid, root_place = e.place, root_sender = e.sender
		FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(room_nid, root_id, rel_type)
		JOIN events e ON e.event_id = n.root_id AND e.room_nid = n.room_nid
		WHERE n.rel_type = '`+event.RelThread+`' AND t.room_nid = n.room_nid AND t.root_id = n.root_id AND t.root_nid IS NULL`,
		c.room, c.target, c.relType)
}

const (
	// fewThreads is up to how many threads of a room that a user takes part in are looked
	// at one by one. Of a user with more, all threads of the room are, the latest first,
	// until a page is full.
	fewThreads = 1000
	// maxMoved bounds how many threads are looked at whose latest reply is hidden from the
	// reader, in each stretch of history that is.
	maxMoved = 10000
)

// threadsQuery is the query of a page of threads. Its fields are arguments, or conditions
// that consist of them.
type threadsQuery struct {
	query
	room, low, upTo, most, user string
	from, to                    string // the ranges that the reader may see
	// shown is the condition that a thread t is in the listing, whatever its latest reply,
	// and own the one that the reader takes part in it.
	shown, own string
}

// newThreadsQuery begins the query for a reader who may see ranges of the history up to
// the beginning of the listing.
func newThreadsQuery(v *view, userID string, p *ThreadsPage, ranges []Range) *threadsQuery {
	q := &threadsQuery{}
	from, to := columnsOfRanges(ranges)
	q.room, q.most, q.low, q.upTo = q.arg(v.room), q.arg(p.Limit+1), q.arg(from[0]), q.arg(p.From.UpTo)
	q.from, q.to = q.arg(from)+`::bigint[]`, q.arg(to)+`::bigint[]`
	replies := `SELECT FROM relations r WHERE r.room_nid = ` + q.room + ` AND r.target_id = t.root_id AND r.rel_type = '` + event.RelThread + `'`
	// With OFFSET PostgreSQL looks for one reply in each thread, and does not gather all of
	// the room, or all that the user has sent.
	if q.shown = q.sees(`t.root_place`); len(p.Ignored) > 0 {
		q.shown += ` AND EXISTS (` + replies + ` AND r.sender <> ALL(` + q.arg(p.Ignored) + `::text[]) AND ` + q.sees(`r.place`) + ` OFFSET 0)`
	}
	if p.Participated {
		q.user = q.arg(userID)
		q.own = `(t.root_sender = ` + q.user + ` OR EXISTS (` + replies + ` AND r.sender = ` + q.user + ` OFFSET 0))`
	}
	return q
}

// sees is the condition that the reader may see a place.
func (q *threadsQuery) sees(place string) string {
	return `EXISTS (SELECT FROM unnest(` + q.from + `, ` + q.to + `) AS w(low, high) WHERE ` + place + ` BETWEEN w.low AND w.high)`
}

// lastSeen selects the place of the latest reply in a thread t that the reader may see, for
// threads whose latest is hidden.
func (q *threadsQuery) lastSeen() string {
	return `SELECT max(l.place) AS place FROM unnest(` + q.from + `, ` + q.to + `) AS w(low, high)
		CROSS JOIN LATERAL (
			SELECT r.place FROM relations r
			WHERE r.room_nid = ` + q.room + ` AND r.target_id = t.root_id AND r.rel_type = ` + threadByPlace + ` AND r.place BETWEEN w.low AND w.high
			ORDER BY r.place DESC LIMIT 1) l`
}

// text returns the statement. gaps are what lies between the ranges of the reader, and after
// the last.
func (q *threadsQuery) text(gaps []Range) string {
	from, to := columnsOfRanges(gaps)
	shown, with, few := q.shown, ``, ``
	if q.own != "" {
		with, few = q.few()
		few = ` UNION ALL ` + few
		shown += ` AND ` + q.own + ` AND NOT (SELECT yes FROM few)`
	}
	return with + `SELECT c.root_nid, c.place FROM (
		(SELECT t.root_nid, t.last_place AS place FROM threads t
		WHERE t.room_nid = ` + q.room + ` AND t.last_place BETWEEN ` + q.low + ` AND ` + q.upTo + ` AND ` + q.sees(`t.last_place`) + ` AND ` + shown + `
		ORDER BY t.last_place DESC LIMIT ` + q.most + `)
		UNION ALL
		(SELECT t.root_nid, h.place FROM unnest(` + q.arg(from) + `::bigint[], ` + q.arg(to) + `::bigint[]) AS g(low, high)
		CROSS JOIN LATERAL (
			SELECT * FROM threads WHERE room_nid = ` + q.room + ` AND last_place BETWEEN g.low AND g.high
			ORDER BY last_place DESC LIMIT ` + strconv.Itoa(maxMoved) + `) t
		CROSS JOIN LATERAL (` + q.lastSeen() + `) h
		WHERE h.place <= ` + q.upTo + ` AND ` + shown + `
		ORDER BY h.place DESC LIMIT ` + q.most + `)` + few + `) c
		ORDER BY c.place DESC LIMIT ` + q.most
}

// few returns what precedes the statement for the threads that a user takes part in, which
// finds those threads, as long as they are few, and the part of it that reads them then.
func (q *threadsQuery) few() (with, part string) {
	most := strconv.Itoa(fewThreads)
	// Both orders are those of an index that begins with the senders: else PostgreSQL might look at all
	// that others have sent. Where it sees that there is one sender, it takes no notice of that order.
	next := func(after string) string {
		return `SELECT n.target_id FROM (
				SELECT r.sender, r.target_id FROM relations r
				WHERE r.room_nid = ` + q.room + ` AND r.rel_type = '` + event.RelThread + `' AND (r.sender, r.target_id) > (` + q.user + `, ` + after + `)
				ORDER BY r.sender, r.target_id LIMIT 1) n WHERE n.sender = ` + q.user
	}
	// From one thread to the next, however many replies the user has sent in one.
	with = `WITH RECURSIVE replied (root_id, n) AS (
			SELECT (` + next(`''`) + `), 1
			UNION ALL
			SELECT (` + next(`p.root_id`) + `), p.n + 1 FROM replied p WHERE p.root_id IS NOT NULL AND p.n <= ` + most + `),
		mine AS MATERIALIZED (
			SELECT root_id FROM replied WHERE root_id IS NOT NULL
			UNION
			(SELECT root_id FROM threads WHERE room_nid = ` + q.room + ` AND root_sender BETWEEN ` + q.user + ` AND ` + q.user + `
			ORDER BY root_sender, last_place LIMIT ` + most + ` + 1)),
		few AS MATERIALIZED (SELECT count(*) <= ` + most + ` AS yes FROM mine)
		`
	part = `(SELECT t.root_nid, h.place FROM mine m
		CROSS JOIN LATERAL (SELECT * FROM threads WHERE room_nid = ` + q.room + ` AND root_id = m.root_id LIMIT 1) t
		CROSS JOIN LATERAL (SELECT CASE WHEN ` + q.sees(`t.last_place`) + ` THEN t.last_place ELSE (` + q.lastSeen() + `) END AS place) h
		WHERE (SELECT yes FROM few) AND h.place <= ` + q.upTo + ` AND ` + q.shown + `
		ORDER BY h.place DESC LIMIT ` + q.most + `)`
	return with, part
}

// gapsBetween returns what lies between ranges, and after the last.
func gapsBetween(ranges []Range) (gaps []Range) {
	for i, r := range ranges {
		gap := Range{r.To + 1, unbounded}
		if i+1 < len(ranges) {
			gap.To = ranges[i+1].From - 1
		}
		gaps = append(gaps, gap)
	}
	return gaps
}

// thread is a thread on a page: its root, and the place of the latest reply that the reader
// may see.
type thread struct {
	root *Event
	last Place
}

// readThreads fills a page, of as many threads as one read may bring. Damaged roots are
// missing, and those that are in a relation themselves: they are none.
func (s *Store) readThreads(ctx context.Context, page *Threads, v *view, userID string, p *ThreadsPage, ranges []Range) error {
	q := newThreadsQuery(v, userID, p, ranges)
	// With LIMIT PostgreSQL looks each event up by its number.
	read, err := s.cut(ctx, byLatestReply, reserve.Bytes(ctx), `(`+q.text(gapsBetween(ranges))+`) held
		CROSS JOIN LATERAL (SELECT * FROM events WHERE event_nid = held.root_nid LIMIT 1) e`, q.args...)
	if err != nil {
		return fmt.Errorf("list the threads of a room: %w", err)
	}
	threads := make([]thread, len(read.Events))
	for i, e := range read.Events {
		threads[i] = thread{e, read.from[i]}
	}
	slices.SortFunc(threads, func(a, b thread) int { return cmp.Compare(b.last, a.last) })
	more := len(threads)+len(read.bad)+len(read.Left) > p.Limit || len(read.Left) > 0
	threads = threads[:min(len(threads), p.Limit)]
	for _, t := range threads {
		if t.root.Relation().Type == "" {
			page.Roots = append(page.Roots, t.root)
		}
	}
	if n := len(threads); more && n > 0 {
		page.Next = &ThreadsToken{threads[n-1].last - 1, p.From.AsOf}
	}
	return nil
}
