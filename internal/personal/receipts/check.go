package receipts

import "homeserver/internal/doctor"

// Checks are what is to be right about receipts, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	const ofNoEvent = ` FROM receipts r
		WHERE NOT EXISTS (SELECT FROM events e
			WHERE e.position = r.event_position AND e.event_id = r.event_id AND e.room_nid = r.room_nid)`
	return []doctor.Check{doctor.Rows{
		Title:  "Receipts: their events",
		Find:   `SELECT format('a receipt of %s is for event %s at position %s, where it is not', r.user_id, r.event_id, r.event_position)` + ofNoEvent,
		Repair: []string{`DELETE` + ofNoEvent},
	}.Check()}
}
