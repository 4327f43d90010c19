package devicekeys

import "homeserver/internal/doctor"

// Checks are what is to be right about device lists, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Device lists: their users", "device_lists", "user_id", "accounts", "user_id").Check()}
}
