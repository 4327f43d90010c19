package devicekeys

import "homeserver/internal/doctor"

// Checks are what is to be right about device lists, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{
		doctor.Orphans("Device lists: their users", "device_lists", "user_id", "accounts", "user_id").Check(),
		doctor.Orphans("Cross-signing keys: their users", "cross_signing_keys", "user_id", "accounts", "user_id").Check(),
		doctor.Orphans("Signatures on master keys: their signers", "master_key_signatures", "signer_id", "accounts", "user_id").Check(),
		doctor.Orphans("Signed users: their signers", "signed_users", "signer_id", "accounts", "user_id").Check(),
	}
}
