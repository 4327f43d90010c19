package timeline

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// eventPage is how many events are looked at at a time. An event has 64 KiB at most.
const eventPage = 500

// eventCheck checks each event: whether its bytes match its ID, its hash and its
// signature, and whether the columns beside them follow from them.
type eventCheck struct {
	serverName string
	keys       map[string]ed25519.PublicKey // of the server, by their IDs
}

// checkedEvent is an event with the rows about it in other tables.
type checkedEvent struct {
	NID      EventNID
	Place    *Place
	Room     journal.RoomNID
	RoomID   *string
	Version  *string
	EventID  string
	Type     string
	StateKey *string
	Sender   string
	JSON     []byte
	HasURL   bool
	// MadeAt is its time; NULL: that in the JSON.
	MadeAt *int64
	// RedactedBy is the redaction; Redacts what that redacts.
	RedactedBy *EventNID
	Redacts    *string
	// InState reports that there is an entry of state for it, with a value.
	InState bool
	Value   *string
}

// checkEvents checks all events.
func (s *Store) checkEvents(ctx context.Context, e *doctor.Exam) error {
	keys, err := s.o.Keys(ctx, e.Conn)
	if err != nil {
		return err
	}
	return (&eventCheck{serverName: s.o.ServerName, keys: keys}).look(ctx, e)
}

func (c *eventCheck) look(ctx context.Context, e *doctor.Exam) error {
	var number int64
	if err := e.Conn.QueryRow(ctx, `SELECT count(*) FROM events`).Scan(&number); err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	e.Expect(number)
	after := EventNID(-1 << 63)
	for {
		rows, _ := e.Conn.Query(ctx, `
			SELECT e.event_nid, e.place, e.room_nid, r.room_id, r.version, e.event_id, e.type, e.state_key, e.sender, e.json, e.has_url,
				e.origin_server_ts, e.redacted_by, d.redacts, s.place IS NOT NULL, s.value
			FROM (SELECT * FROM events WHERE event_nid > $1 ORDER BY event_nid LIMIT $2) e
			LEFT JOIN rooms r ON r.room_nid = e.room_nid
			LEFT JOIN events d ON d.event_nid = e.redacted_by
			LEFT JOIN room_state s ON s.room_nid = e.room_nid AND s.type = e.type AND s.state_key = e.state_key AND s.place = e.place
			ORDER BY e.event_nid`, after, eventPage)
		page, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[checkedEvent])
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := c.checkPage(ctx, e, page); err != nil {
			return err
		}
		e.Step(int64(len(page)))
		if len(page) < eventPage {
			return nil
		}
		after = page[len(page)-1].NID
	}
}

func (c *eventCheck) checkPage(ctx context.Context, e *doctor.Exam, page []*checkedEvent) error {
	links := &links{}
	repairs := &pgx.Batch{}
	for _, row := range page {
		parsed := c.checkEvent(e, row)
		if parsed != nil {
			links.add(row, parsed)
			row.checkColumns(e, parsed, repairs)
		}
	}
	if repairs.Len() > 0 {
		if err := e.Conn.SendBatch(ctx, repairs).Close(); err != nil {
			return fmt.Errorf("repair the columns of events: %w", err)
		}
	}
	return links.look(ctx, e)
}

// checkEvent checks the event itself. It returns the event as far as it can be read.
func (c *eventCheck) checkEvent(e *doctor.Exam, row *checkedEvent) *event.Event {
	wrong := func(format string, args ...any) { e.Found("%s %s", row, fmt.Sprintf(format, args...)) }
	if row.RoomID == nil {
		wrong("is of a room that there is not")
		return nil
	}
	version, ok := event.LookupVersion(*row.Version)
	if !ok {
		return nil // the check of heads reports it
	}
	parsed, err := event.ParseTrusted(version, row.EventID, row.JSON)
	if err != nil {
		wrong("is damaged: %v", err)
		return nil
	}
	if column := row.differsFrom(parsed); column != "" {
		wrong("has another %s in its bytes than beside them", column)
	}
	whole, err := event.Parse(version, slices.Clone(row.JSON))
	switch {
	case err != nil:
		wrong("is damaged: %v", err)
		return parsed
	case whole.ID != row.EventID:
		wrong("has the bytes of an event %s", whole.ID)
		return parsed
	case !bytes.Equal(whole.JSON, row.JSON):
		wrong("is not in canonical form")
	}
	if row.RedactedBy == nil {
		if err := whole.VerifyHash(); err != nil {
			wrong("is changed: its content does not have the hash that it states")
		}
	} else {
		row.checkRedaction(version, wrong)
	}
	c.checkSignature(whole, wrong)
	return parsed
}

// String names the event in a finding.
func (row *checkedEvent) String() string {
	return fmt.Sprintf("event %s, number %d,", row.EventID, row.NID)
}

// differsFrom returns the first column that is not what the event says.
func (row *checkedEvent) differsFrom(e *event.Event) string {
	switch {
	case row.Type != e.Type:
		return "type"
	case row.Sender != e.Sender:
		return "sender"
	case *row.RoomID != e.RoomID:
		return "room"
	case (row.StateKey == nil) != (e.StateKey == nil) || row.StateKey != nil && *row.StateKey != *e.StateKey:
		return "state key"
	}
	return ""
}

// checkRedaction checks whether redacted content is gone, and by which event.
func (row *checkedEvent) checkRedaction(version *event.Version, wrong func(string, ...any)) {
	if row.Redacts == nil || *row.Redacts != row.EventID {
		wrong("is redacted by number %d, where no redaction of it stands", *row.RedactedBy)
	}
	if redacted, err := event.Redact(version, row.JSON); err != nil || !bytes.Equal(redacted, row.JSON) {
		wrong("is redacted, and still has more than its redacted form")
	}
}

// checkSignature checks that an event that was sent here has this server's signature.
func (c *eventCheck) checkSignature(e *event.Event, wrong func(string, ...any)) {
	if !strings.HasSuffix(e.Sender, ":"+c.serverName) {
		return
	}
	var err error
	for id, key := range c.keys {
		if err = e.VerifySignature(c.serverName, id, key); err == nil {
			return
		}
	}
	wrong("is not signed as this server signs: %v", err)
}

// checkColumns compares the columns for searching with the event.
func (row *checkedEvent) checkColumns(e *doctor.Exam, parsed *event.Event, repairs *pgx.Batch) {
	tell := e.Found
	if e.Repair {
		tell = e.Repaired
	}
	repair := func(sql string, args ...any) {
		if e.Repair {
			repairs.Queue(sql, args...)
		}
	}
	if withURL := hasURL(parsed.Content); withURL != row.HasURL {
		tell("%s is said to have a URL, or to have none, and that is not so", row)
		repair(`UPDATE events SET has_url = $2 WHERE event_nid = $1`, row.NID, withURL)
	}
	if row.MadeAt != nil && *row.MadeAt != parsed.OriginServerTS {
		tell("%s is found by another time than its own", row)
		repair(`UPDATE events SET origin_server_ts = $2 WHERE event_nid = $1`, row.NID, parsed.OriginServerTS)
	}
	if row.StateKey == nil || row.differsFrom(parsed) != "" {
		return
	}
	value := valueOfState(parsed)
	switch {
	case !row.InState:
		tell("%s is missing in the state of its room", row)
		// It ends where it begins, until the check of intervals finds the right end.
		repair(`INSERT INTO room_state (room_nid, type, state_key, event_nid, place, replaced_at, value) VALUES ($1, $2, $3, $4, $5, $5, $6)`,
			row.Room, row.Type, *row.StateKey, row.NID, row.Place, value)
	case (value == nil) != (row.Value == nil) || value != nil && *value != *row.Value:
		tell("%s stands in the state of its room with another value than it has", row)
		repair(`UPDATE room_state SET value = $5 WHERE room_nid = $1 AND type = $2 AND state_key = $3 AND event_nid = $4`,
			row.Room, row.Type, *row.StateKey, row.NID, value)
	}
}

// links are the events that those of a page refer to.
type links struct {
	from []link
	ids  []string
}

type link struct {
	row *checkedEvent
	id  string
}

func (l *links) add(row *checkedEvent, e *event.Event) {
	for _, id := range slices.Concat(e.PrevEvents(), e.AuthEvents()) {
		l.from = append(l.from, link{row, id})
		l.ids = append(l.ids, id)
	}
}

// look finds events that refer to events that do not exist, are in another room, or are
// later.
func (l *links) look(ctx context.Context, e *doctor.Exam) error {
	type found struct {
		EventID string
		Room    journal.RoomNID
		NID     EventNID
	}
	slices.Sort(l.ids)
	l.ids = slices.Compact(l.ids)
	rows, _ := e.Conn.Query(ctx, `SELECT event_id, room_nid, event_nid FROM events WHERE event_id = ANY($1)`, l.ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return fmt.Errorf("look for earlier events: %w", err)
	}
	byID := make(map[string]found, len(list))
	for _, p := range list {
		byID[p.EventID] = p
	}
	for _, link := range l.from {
		switch p, ok := byID[link.id]; {
		case !ok:
			e.Found("%s refers to event %s, which is not there", link.row, link.id)
		case p.Room != link.row.Room:
			e.Found("%s refers to event %s of another room", link.row, link.id)
		case p.NID >= link.row.NID:
			e.Found("%s refers to event %s, which stands after it", link.row, link.id)
		}
	}
	return nil
}
