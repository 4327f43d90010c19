package timeline

import "homeserver/internal/doctor"

// Checks returns the checks of rooms for the operator's doctor.
func (s *Store) Checks() []doctor.Check {
	return []doctor.Check{
		{Title: "Events: bytes, hashes and signatures", Look: s.checkEvents},
		checkStateOfNothing(),
		checkIntervals(),
		checkReplaced(),
		{Title: "Rooms: heads", Look: checkHeads},
		checkMembers(),
		checkStateSize(),
		{Title: "Relations: events behind them", Look: checkRelations},
		checkThreads(),
		checkThreadRoots(),
	}
}

// checkStateOfNothing finds state without its event. Where an event has no state, the
// check of events finds that.
func checkStateOfNothing() doctor.Check {
	return doctor.Rows{
		Title: "State: events behind it",
		Find: `
		SELECT format('state %s %s of room %s has no event of number %s', s.type, s.state_key, coalesce(r.room_id, s.room_nid::text), s.event_nid)
		FROM room_state s
		LEFT JOIN events e ON e.event_nid = s.event_nid AND e.room_nid = s.room_nid AND e.type = s.type AND e.state_key = s.state_key
		LEFT JOIN rooms r ON r.room_nid = s.room_nid
		WHERE s.event_nid IS NOT NULL AND e.event_nid IS NULL`,
		Repair: []string{`
		DELETE FROM room_state s WHERE s.event_nid IS NOT NULL AND NOT EXISTS (
			SELECT FROM events e
			WHERE e.event_nid = s.event_nid AND e.room_nid = s.room_nid AND e.type = s.type AND e.state_key = s.state_key)`},
	}.Check()
}

// nextState is each entry of state with the event of the one before and the place of the next.
const nextState = `
	SELECT room_nid, type, state_key, event_nid, place, replaced_at,
		lag(event_nid) OVER w AS before, lead(place) OVER w AS next
	FROM room_state WINDOW w AS (PARTITION BY room_nid, type, state_key ORDER BY place)`

// checkIntervals finds entries of state that do not end where the next one begins:
// intervals that overlap or leave a hole.
func checkIntervals() doctor.Check {
	return doctor.Rows{
		Title: "State: intervals",
		Find: `
		SELECT format('state %s %s of room %s from place %s on ends at %s instead of %s', s.type, s.state_key,
			coalesce(r.room_id, s.room_nid::text), s.place, coalesce(s.replaced_at::text, 'no place'), coalesce(s.next::text, 'no place'))
		FROM (` + nextState + `) s LEFT JOIN rooms r ON r.room_nid = s.room_nid
		WHERE s.replaced_at IS DISTINCT FROM s.next`,
		// First the ends, so that never two entries hold at once.
		Repair: []string{endIntervals + `IS NOT NULL`, endIntervals + `IS NULL`},
	}.Check()
}

const endIntervals = `
	UPDATE room_state s SET replaced_at = n.next FROM (` + nextState + `) n
	WHERE s.room_nid = n.room_nid AND s.type = n.type AND s.state_key = n.state_key AND s.place = n.place
		AND n.replaced_at IS DISTINCT FROM n.next AND n.next `

// checkReplaced finds state events that do not name the one that they replaced.
func checkReplaced() doctor.Check {
	return doctor.Rows{
		Title: "State: what was replaced",
		Find: `
		SELECT format('event %s, number %s, is said to replace %s instead of %s', e.event_id, e.event_nid,
			coalesce('number ' || e.replaces, 'none'), coalesce('number ' || s.before, 'none'))
		FROM (` + nextState + `) s JOIN events e ON e.event_nid = s.event_nid
		WHERE e.replaces IS DISTINCT FROM s.before`,
		Repair: []string{`
		UPDATE events e SET replaces = s.before FROM (` + nextState + `) s
		WHERE e.event_nid = s.event_nid AND e.replaces IS DISTINCT FROM s.before`},
	}.Check()
}

// countedMembers is how many members rooms have, and how many they are said to have.
const countedMembers = `
	SELECT r.room_nid, r.room_id, r.joined_members, r.invited_members, n.joined, n.invited
	FROM rooms r CROSS JOIN LATERAL (
		SELECT count(*) FILTER (WHERE s.value = 'join') AS joined, count(*) FILTER (WHERE s.value = 'invite') AS invited
		FROM room_state s
		WHERE s.room_nid = r.room_nid AND s.type = 'm.room.member' AND s.replaced_at IS NULL AND s.value IN ('join', 'invite')) n
	WHERE (r.joined_members, r.invited_members) <> (n.joined, n.invited)`

func checkMembers() doctor.Check {
	return doctor.Rows{
		Title: "Rooms: numbers of members",
		Find: `
		SELECT format('room %s has %s joined and %s invited members, and counts %s and %s', room_id, joined, invited, joined_members, invited_members)
		FROM (` + countedMembers + `) c`,
		Repair: []string{`
		UPDATE rooms r SET joined_members = c.joined, invited_members = c.invited
		FROM (` + countedMembers + `) c WHERE r.room_nid = c.room_nid`},
	}.Check()
}

func checkStateSize() doctor.Check {
	// The size of the state of rooms as counted, and as recorded.
	counted := `
	SELECT r.room_nid, r.room_id, r.state_bytes, n.bytes
	FROM rooms r CROSS JOIN LATERAL (
		SELECT coalesce(sum(` + sizeOfState("e.json") + `), 0) AS bytes
		FROM room_state s JOIN events e ON e.event_nid = s.event_nid
		WHERE s.room_nid = r.room_nid AND s.replaced_at IS NULL) n
	WHERE r.state_bytes <> n.bytes`
	return doctor.Rows{
		Title: "Rooms: sizes of their state",
		Find:  `SELECT format('the state of room %s has %s bytes, and counts %s', room_id, bytes, state_bytes) FROM (` + counted + `) c`,
		Repair: []string{`
		UPDATE rooms r SET state_bytes = c.bytes FROM (` + counted + `) c WHERE r.room_nid = c.room_nid`},
	}.Check()
}
