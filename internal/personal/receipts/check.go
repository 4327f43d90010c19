package receipts

import "homeserver/internal/doctor"

// Checks returns the checks of receipts, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	const ofNoEvent = ` FROM receipts r
		WHERE NOT EXISTS (SELECT FROM events e
			WHERE e.place = r.event_place AND e.event_id = r.event_id AND e.room_nid = r.room_nid)`
	return []doctor.Check{doctor.Rows{
		Title:  "Receipts: their events",
		Find:   `SELECT format('a receipt of %s is for event %s at place %s, where it is not', r.user_id, r.event_id, r.event_place)` + ofNoEvent,
		Repair: []string{`DELETE` + ofNoEvent},
	}.Check()}
}
