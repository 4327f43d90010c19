package presence

import "homeserver/internal/doctor"

// Checks are what is to be right about presence lists, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Presence lists: their users", "presence_lists", "user_id", "accounts", "user_id").Check()}
}
