package accountdata

import "homeserver/internal/doctor"

// Checks returns the checks of account data, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	const ofNoRoom = ` FROM account_data a
		WHERE a.room_nid <> 0 AND NOT EXISTS (SELECT FROM rooms r WHERE r.room_nid = a.room_nid)`
	return []doctor.Check{
		doctor.Orphans("Account data: its users", "account_data", "user_id", "accounts", "user_id").Check(),
		doctor.Rows{
			Title:  "Account data: its rooms",
			Find:   `SELECT format('%s has %s for room number %s, which there is not', a.user_id, a.type, a.room_nid)` + ofNoRoom,
			Repair: []string{`DELETE` + ofNoRoom},
		}.Check(),
	}
}
