package push

import "homeserver/internal/doctor"

// Checks returns the checks of push rules, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Push rules: their users", "push_rules", "user_id", "accounts", "user_id").Check()}
}
