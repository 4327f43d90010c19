package presence

import "homeserver/internal/doctor"

// Checks returns the checks of presence lists, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Presence lists: their users", "presence_lists", "user_id", "accounts", "user_id").Check()}
}
