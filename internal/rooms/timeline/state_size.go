package timeline

import (
	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
)

const (
	// EntryBytes is added for each entry, so that their number is bounded, too.
	EntryBytes = 1 << 10
	// memberBytes is the length up to which a membership does not count: anybody must be
	// able to come and go.
	memberBytes = 8 << 10
)

// StateSize returns the size of an event as an entry of the state, as sizeOfState does
// in SQL.
func StateSize(e *event.Event) int64 {
	if e.Type == event.TypeMember && len(e.JSON) <= memberBytes {
		return 0
	}
	return int64(len(e.JSON)) + EntryBytes
}

// sizeOfState is StateSize of an event e, if it had some JSON.
func sizeOfState(json string) string {
	return `CASE WHEN e.type = 'm.room.member' AND octet_length(` + json + `) <= 8192 THEN 0 ELSE octet_length(` + json + `) + 1024 END`
}

// queueStateSizes counts the state events of a group in the sizes of their rooms. It is
// queued after the events, and before those that they redact are replaced.
func queueStateSizes(b *pgx.Batch, events []*Event) {
	var number []EventNID
	var sign []int64
	count := func(of EventNID, by int64) {
		number, sign = append(number, of), append(sign, by)
	}
	for _, e := range events {
		for at := range ChangeBy(e).Line {
			if IsSmallMember(at.Event) {
				continue
			}
			count(at.Event.NID, 1)
			if e.Replaces != nil {
				count(e.Replaces.NID, -1)
			}
		}
	}
	if len(number) > 0 {
		b.Queue(`
			UPDATE rooms r SET state_bytes = r.state_bytes + n.bytes
			FROM (SELECT e.room_nid, sum(w.sign * `+sizeOfState("e.json")+`) AS bytes
				FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[])`+ofFew+`) AS w(event_nid, sign) JOIN events e ON e.event_nid = w.event_nid
				GROUP BY e.room_nid) n
			WHERE r.room_nid = n.room_nid`, number, sign)
	}
	for _, e := range events {
		if e.Staged.Redacted != nil && e.Staged.Target.StateKey != nil {
			b.Queue(`
				UPDATE rooms r SET state_bytes = r.state_bytes - `+sizeOfState("e.json")+` + `+sizeOfState("$2::bytea")+`
				FROM events e JOIN room_state s ON s.event_nid = e.event_nid AND s.room_nid = e.room_nid AND s.replaced_at IS NULL
				WHERE e.event_id = $1 AND e.redacted_by IS NULL AND r.room_nid = e.room_nid`, e.Staged.Target.ID, e.Staged.Redacted.JSON)
		}
	}
}

// IsSmallMember reports whether a membership does not count, and the one that it
// replaces surely does not either.
func IsSmallMember(e *Event) bool {
	const besideContent = 4 << 10
	return e.Type == event.TypeMember && len(e.JSON) <= memberBytes &&
		(e.Replaces == nil || len(e.Replaces.Content()) <= memberBytes-besideContent)
}
