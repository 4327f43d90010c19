package search

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"homeserver/internal/doctor"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// index brings the index up to a position. It is a journal.Step.
func (s *Service) index(ctx context.Context, tx pgx.Tx, after, upTo journal.Position) error {
	events, err := s.rooms.EventsBetween(ctx, after, upTo, []string{"m.room.message", "m.room.name", "m.room.topic"})
	if err != nil {
		return err
	}
	redacted, err := s.rooms.RedactedBetween(ctx, after, upTo)
	if err != nil {
		return err
	}
	var b pgx.Batch
	var r rows
	for e, err := range events.All(ctx) {
		if err != nil {
			return err
		}
		if r.add(e); r.bytes < maxRowBytes {
			continue
		}
		r.queue(&b)
		if err := send(ctx, tx, &b); err != nil {
			return err
		}
		b, r = pgx.Batch{}, rows{}
	}
	r.queue(&b)
	if len(redacted) > 0 {
		b.Queue(`DELETE FROM search_index WHERE event_nid = ANY($1)`, redacted)
	}
	return send(ctx, tx, &b)
}

func send(ctx context.Context, tx pgx.Tx, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write the search index: %w", err)
	}
	return nil
}

// maxRowBytes is how many bytes of words are written at once.
const maxRowBytes = 1 << 20

// rows are rows of the index that are to be written.
type rows struct {
	number      []timeline.EventNID
	place       []timeline.Place
	room        []journal.RoomNID
	sender, key []string
	words       []pgtype.TSVector
	hasURL      []bool
	bytes       int // of the words
}

// add adds the row of an event, if that has words.
func (r *rows) add(e *timeline.Event) {
	key, text := textOf(e)
	if e.Redacted() || text == "" {
		return
	}
	vector := vectorOf(text)
	if len(vector.Lexemes) == 0 {
		return
	}
	r.number, r.place, r.room = append(r.number, e.NID), append(r.place, e.Place), append(r.room, e.Room)
	r.sender, r.key, r.words = append(r.sender, e.Sender), append(r.key, key), append(r.words, vector)
	r.hasURL = append(r.hasURL, event.Field(e.Content(), "url") != nil)
	r.bytes += bytesOf(vector)
}

// queue writes the rows.
func (r *rows) queue(b *pgx.Batch) {
	if len(r.number) == 0 {
		return
	}
	b.Queue(`
		INSERT INTO search_index (event_nid, place, room_nid, sender, key, has_url, words)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::tsvector[])
		ON CONFLICT (event_nid) DO NOTHING`, r.number, r.place, r.room, r.sender, r.key, r.hasURL, r.words)
}

// hit is an entry of the index that a query has found.
type hit struct {
	NID    timeline.EventNID
	Place  timeline.Place
	Room   journal.RoomNID
	Sender string
	Rank   float64
	// RoomMore and SenderMore report that there is another one after it in the same room,
	// or of the same sender.
	RoomMore, SenderMore bool
}

// findings is a page of hits, the number of all, and whether there are more after the page.
type findings struct {
	hits  []hit
	count int64
	more  bool
}

// arguments gathers the arguments of a statement.
type arguments []any

func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// matches returns the common table of what matches, without its rank: the newest of it, if
// it is more than one search considers.
func (q *query) matches(a *arguments) string {
	n := len(q.windows)
	room, low, high := make([]journal.RoomNID, n), make([]timeline.Place, n), make([]timeline.Place, n)
	for i, w := range q.windows {
		room[i], low[i], high[i] = w.Room, w.From, w.To
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
		WITH matches AS MATERIALIZED (
			SELECT i.event_nid, i.place, i.room_nid, i.sender FROM search_index i
			WHERE i.words @@ %s::text::tsquery AND i.key = ANY(%s)
				AND EXISTS (SELECT FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS w(room_nid, low, high)
					WHERE w.room_nid = i.room_nid AND i.place BETWEEN w.low AND w.high)`,
		a.add(q.tsquery), a.add(q.keys), a.add(room), a.add(low), a.add(high))
	if few := slices.Compact(slices.Sorted(slices.Values(room))); len(few) <= fewRooms {
		b.WriteString(` AND i.room_nid = ANY(` + a.add(few) + `::bigint[])`)
	}
	q.exceptHidden(&b, a)
	notSenders := q.notSenders
	if f := q.filter; f != nil {
		if f.Senders != nil {
			b.WriteString(` AND i.sender = ANY(` + a.add(*f.Senders) + `::text[])`)
		}
		if f.ContainsURL != nil {
			b.WriteString(` AND i.has_url = ` + a.add(*f.ContainsURL))
		}
		notSenders = append(notSenders, f.NotSenders...)
	}
	if len(notSenders) > 0 {
		b.WriteString(` AND i.sender <> ALL(` + a.add(notSenders) + `::text[])`)
	}
	if q.from != nil && q.from.Key == GroupSender {
		b.WriteString(` AND i.sender = ` + a.add(q.from.Value))
	}
	return b.String() + ` ORDER BY i.place DESC LIMIT ` + a.add(maxMatches) + `)`
}

// fewRooms is in how many rooms messages are found by an index of rooms, too.
const fewRooms = 20

// rank returns the rank of words. Whole words count for more than beginnings of words.
func (q *query) rank(a *arguments) string {
	return fmt.Sprintf(`10 * ts_rank(w.words, %s::text::tsquery, 1)::float8 + ts_rank(w.words, %s::text::tsquery, 1)::float8`,
		a.add(q.whole), a.add(q.tsquery))
}

// wordsOf reads the words of a row of another table, one by one: joined in one go,
// PostgreSQL may choose to read all words.
const wordsOf = ` CROSS JOIN LATERAL (SELECT words FROM search_index WHERE event_nid = %s.event_nid LIMIT 1) w`

// page returns the statement that reads a page: the hits, one more than wanted, and the
// number of all beside each. Only the order by rank needs the ranks of all.
func (q *query) page(a *arguments) string {
	matches, rank, order := q.matches(a), q.rank(a), `rank DESC, place DESC`
	found, inPage, ofPage := `SELECT m.*, `+rank+` AS rank FROM matches m`+fmt.Sprintf(wordsOf, "m"), `p.rank`, ``
	if q.recent {
		found, inPage, ofPage = `SELECT m.*, 0::float8 AS rank FROM matches m`, rank, fmt.Sprintf(wordsOf, "p")
		order = `place DESC`
	}
	roomMore, senderMore := `false`, `false`
	if slices.Contains(q.groupBy, GroupRoom) {
		roomMore = `row_number() OVER (PARTITION BY room_nid ORDER BY rank, place) > 1`
	}
	if slices.Contains(q.groupBy, GroupSender) {
		senderMore = `row_number() OVER (PARTITION BY sender ORDER BY rank, place) > 1`
	}
	return matches + `, found AS MATERIALIZED (` + found + `), page AS (
			SELECT * FROM (SELECT *, ` + roomMore + ` AS room_more, ` + senderMore + ` AS sender_more FROM found) f
			WHERE ` + q.from.behind(a) + ` ORDER BY ` + order + ` LIMIT ` + a.add(q.limit+1) + `)
		SELECT coalesce(p.event_nid, 0), coalesce(p.place, 0), coalesce(p.room_nid, 0), coalesce(p.sender, ''), coalesce(p.rank, 0),
			coalesce(p.room_more, false), coalesce(p.sender_more, false), c.count
		FROM (SELECT count(*) FROM matches) c LEFT JOIN (
			SELECT p.event_nid, p.place, p.room_nid, p.sender, ` + inPage + ` AS rank, p.room_more, p.sender_more FROM page p` + ofPage + `) p ON true
		ORDER BY ` + strings.ReplaceAll(order, "place", "p.place")
}

// hiddenFrom is a stretch of a room in which the messages of a sender are not found.
type hiddenFrom struct {
	timeline.Window
	sender string
}

// exceptHidden writes the condition that leaves hidden messages out.
func (q *query) exceptHidden(b *strings.Builder, a *arguments) {
	n := len(q.hidden)
	if n == 0 {
		return
	}
	room, sender := make([]journal.RoomNID, n), make([]string, n)
	low, high := make([]timeline.Place, n), make([]timeline.Place, n)
	for i, h := range q.hidden {
		room[i], sender[i], low[i], high[i] = h.Room, h.sender, h.From, h.To
	}
	fmt.Fprintf(b, `
				AND NOT (i.key = %s AND EXISTS (
					SELECT FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[]) AS h(room_nid, sender, low, high)
					WHERE h.room_nid = i.room_nid AND h.sender = i.sender AND i.place BETWEEN h.low AND h.high))`,
		a.add(types["m.room.message"]), a.add(room), a.add(sender), a.add(low), a.add(high))
}

// behind returns the condition for results after a place.
func (c *cursor) behind(a *arguments) string {
	switch {
	case c == nil:
		return `true`
	case c.Recent:
		return `place < ` + a.add(c.place())
	default:
		return `(rank, place) < (` + a.add(c.Rank) + `::float8, ` + a.add(c.place()) + `::bigint)`
	}
}

// find reads a page of the index. The number of all hits comes with an empty page, too. A
// search that takes PostgreSQL too long is broken off.
func (s *Service) find(ctx context.Context, q *query) (*findings, error) {
	var a arguments
	var b pgx.Batch
	// The best plan depends on how common the words are.
	b.Queue(`SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)`, maxTime)
	b.Queue(q.page(&a), a...)
	sent := s.pool.SendBatch(ctx, &b)
	defer sent.Close() //nolint:errcheck // the statements before have said it
	if _, err := sent.Exec(); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	rows, err := sent.Query()
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	found := &findings{}
	var h hit
	_, err = pgx.ForEachRow(rows, []any{&h.NID, &h.Place, &h.Room, &h.Sender, &h.Rank, &h.RoomMore, &h.SenderMore, &found.count}, func() error {
		switch {
		case h.NID == 0:
		case len(found.hits) == q.limit:
			found.more = true
		default:
			found.hits = append(found.hits, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return found, nil
}

// Checks returns the checks of the index, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	// A redaction takes effect in the index when the follower has handled it.
	const ofNothing = ` FROM search_index i
		WHERE NOT EXISTS (SELECT FROM events e
			WHERE e.event_nid = i.event_nid AND e.room_nid = i.room_nid
				AND (e.redacted_by IS NULL OR (SELECT d.position FROM events d WHERE d.event_nid = e.redacted_by) > (SELECT position FROM followers WHERE name = 'search')))`
	return []doctor.Check{doctor.Rows{
		Title:  "Search: what is found",
		Find:   `SELECT format('the index finds position %s, where no event stands that can be found', i.event_nid)` + ofNothing,
		Repair: []string{`DELETE` + ofNothing},
	}.Check()}
}
