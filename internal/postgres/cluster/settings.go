package cluster

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// settings are those of every managed cluster, chosen for a small node. ALTER
// SYSTEM changes them for good.
const settings = `# Written by homeserver at each start. To change a setting, use ALTER SYSTEM.
unix_socket_permissions = 0700
shared_buffers = 128MB
jit = off
random_page_cost = 1.1
wal_compression = on
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
lc_monetary = 'C'
lc_numeric = 'C'
lc_time = 'C'
# Statements hold what people wrote: they stay out of the log.
log_min_error_statement = panic
`

// durableSettings are those of data that is to be kept.
const durableSettings = `max_connections = 50
min_wal_size = 80MB
max_wal_size = 1GB
`

// throwawaySettings are those of data that may be lost with the machine. Test
// suites open many pools at once.
const throwawaySettings = `max_connections = 300
min_wal_size = 32MB
max_wal_size = 256MB
fsync = off
synchronous_commit = off
full_page_writes = off
wal_compression = off
wal_level = minimal
max_wal_senders = 0
# Goes with the folder, even when PostgreSQL is killed.
dynamic_shared_memory_type = mmap
`

// compactSettings are those of data that is to be copied often: as little log of changes as there can be.
const compactSettings = `min_wal_size = 2MB
max_wal_size = 2MB
`

// access admits only local users, by their identity from the kernel.
const access = `# Written by homeserver at each start.
local all all peer map=homeserver
`

// writeSettings writes the files that PostgreSQL reads when it starts.
func (c *Cluster) writeSettings() error {
	kind := throwawaySettings
	if c.durable {
		kind = durableSettings
	}
	if c.compact {
		kind += compactSettings
	}
	users, err := userMap(c.place.owner)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		settingsFile: settings + kind, accessFile: access, usersFile: users,
	} {
		err := os.WriteFile(c.place.file(name), []byte(content), 0o644)
		if err == nil {
			err = os.Chmod(c.place.file(name), 0o644) // PostgreSQL's user reads it, whatever the umask
		}
		if err != nil {
			return fmt.Errorf("write the settings of PostgreSQL: %w", err)
		}
	}
	return nil
}

// userMap returns which users of the operating system may be which roles: the server's
// user, the owner of the files, and root, who can become either anyway.
func userMap(owner *owner) (string, error) {
	current, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		return "", fmt.Errorf("find the name of the server's user: %w", err)
	}
	names := []string{current.Username, owner.name, "root"}
	slices.Sort(names)
	var lines strings.Builder
	lines.WriteString("# Written by homeserver at each start.\n")
	for _, name := range slices.Compact(names) {
		for _, role := range []string{clusterRole, superuser} {
			fmt.Fprintf(&lines, "homeserver %q %s\n", name, role)
		}
	}
	return lines.String(), nil
}
