package syncstream

import "homeserver/internal/doctor"

// Checks are what is to be right about stored filters, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Filters: their users", "filters", "user_id", "accounts", "user_id").Check()}
}
