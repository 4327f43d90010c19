package keybackup

import (
	"fmt"

	"homeserver/internal/doctor"
)

// Checks are what is to be right about key backups, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	wrong := fmt.Sprintf(` FROM key_backups b CROSS JOIN LATERAL (
			SELECT count(*) AS keys, coalesce(sum(octet_length(session_data) + %d), 0)::bigint AS bytes FROM room_keys k WHERE k.backup_id = b.backup_id
		) n WHERE (b.keys, b.bytes) <> (n.keys, n.bytes)`, besideData)
	return []doctor.Check{
		doctor.Orphans("Key backups: their users", "key_backups", "user_id", "accounts", "user_id").Check(),
		doctor.Orphans("Key backups: their keys", "room_keys", "backup_id", "key_backups", "backup_id").Check(),
		doctor.Rows{
			Title: "Key backups: their numbers",
			Find: `SELECT format('key backup %s has %s keys of %s bytes, and says that it has %s of %s',
				b.backup_id, n.keys, n.bytes, b.keys, b.bytes)` + wrong + ` ORDER BY b.backup_id`,
			Repair: []string{`UPDATE key_backups b SET keys = w.keys, bytes = w.bytes FROM (SELECT b.backup_id, n.*` + wrong + `) w
				WHERE w.backup_id = b.backup_id`},
		}.Check(),
	}
}
