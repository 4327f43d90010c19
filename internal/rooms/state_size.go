package rooms

import (
	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

const (
	// maxStateBytes bounds the current state of a room: what everybody who comes in has
	// to be sent.
	maxStateBytes = 64 << 20
	// entryBytes is what an entry counts beside its event, so that the bound is one of
	// their number, too.
	entryBytes = 1 << 10
	// memberBytes is the length up to which a membership does not count: anybody must be
	// able to come and go.
	memberBytes = 8 << 10
)

// stateSize is what an event counts as an entry of the state, as sizeOfState says it in
// SQL.
func stateSize(e *event.Event) int64 {
	if e.Type == event.TypeMember && len(e.JSON) <= memberBytes {
		return 0
	}
	return int64(len(e.JSON)) + entryBytes
}

// sizeOfState is stateSize of an event e, if it had some JSON.
func sizeOfState(json string) string {
	return `CASE WHEN e.type = 'm.room.member' AND octet_length(` + json + `) <= 8192 THEN 0 ELSE octet_length(` + json + `) + 1024 END`
}

// resize counts what a state event changes in the size of its room's state. M_TOO_LARGE
// where that becomes larger than a room's state may be.
func (b *builder) resize(e *event.Event, old *Event) error {
	more := stateSize(e)
	if old != nil {
		shown, _ := old.seen()
		more -= stateSize(shown)
	}
	if more > 0 && b.o.r.stateBytes+b.stateBytes+more > maxStateBytes {
		return matrix.Errorf(matrix.TooLarge, "the state of this room has %d MiB, as much as it may have", maxStateBytes>>20)
	}
	b.stateBytes += more
	return nil
}

// queueStateSizes counts the state events of a group in the sizes of their rooms. It is
// queued after the events, and before those that they redact are replaced.
func queueStateSizes(b *pgx.Batch, events []*Event) {
	var position []journal.Position
	var sign []int64
	count := func(at journal.Position, by int64) {
		position, sign = append(position, at), append(sign, by)
	}
	for _, e := range events {
		if e.StateKey == nil || isSmallMember(e) {
			continue
		}
		count(e.Position, 1)
		if e.Replaces != nil {
			count(e.Replaces.Position, -1)
		}
	}
	if len(position) > 0 {
		b.Queue(`
			UPDATE rooms r SET state_bytes = r.state_bytes + n.bytes
			FROM (SELECT e.room_nid, sum(w.sign * `+sizeOfState("e.json")+`) AS bytes
				FROM unnest($1::bigint[], $2::bigint[]) AS w(position, sign) JOIN events e ON e.position = w.position
				GROUP BY e.room_nid) n
			WHERE r.room_nid = n.room_nid`, position, sign)
	}
	for _, e := range events {
		if e.draft.redacted != nil && e.draft.target.StateKey != nil {
			b.Queue(`
				UPDATE rooms r SET state_bytes = r.state_bytes - `+sizeOfState("e.json")+` + `+sizeOfState("$2::bytea")+`
				FROM events e JOIN room_state s ON s.position = e.position AND s.room_nid = e.room_nid AND s.replaced_at IS NULL
				WHERE e.event_id = $1 AND e.redacted_by IS NULL AND r.room_nid = e.room_nid`, e.draft.target.ID, e.draft.redacted.JSON)
		}
	}
}

// isSmallMember reports whether a membership counts nothing, and surely what it
// replaces does not either.
func isSmallMember(e *Event) bool {
	const besideContent = 4 << 10
	return e.Type == event.TypeMember && len(e.JSON) <= memberBytes &&
		(e.Replaces == nil || len(e.Replaces.Content()) <= memberBytes-besideContent)
}

// followSize counts what another process has changed, as far as that is known here: the
// next loading of the room puts it right.
func (r *live) followSize(e *Event) {
	r.stateBytes += stateSize(e.Event)
	if e.Replaces != nil && !isSmallMember(e) {
		r.stateBytes -= int64(len(e.Replaces.Content())) + entryBytes
	}
}
