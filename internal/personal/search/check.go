package search

import "homeserver/internal/doctor"

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
