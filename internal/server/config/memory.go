package config

import (
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

const (
	// usualMemory is used if the machine's memory is not known.
	usualMemory = Size(1 << 30)
	// minMemoryLimit has room for the program, two passwords being hashed, and small buffers.
	minMemoryLimit = Size(128 << 20)
	// maxAutoLimit is the highest limit without configuration, on a large machine.
	maxAutoLimit = Size(4 << 30)
	// maxShared is the most that is shared out, whatever the limit.
	maxShared = Size(4 << 30)
	// ownMemory is the memory of the program itself: 20 MiB when it is idle, and twice
	// 19 MiB for passwords being hashed.
	ownMemory = Size(60 << 20)
	// minWriteQueue has room for the largest write, which is a room of 1,000 events,
	// and minThumbnailMemory a photograph of 12 megapixels.
	minWriteQueue      = Size(8 << 20)
	minThumbnailMemory = Size(32 << 20)
)

// Budget is the division of the memory. All shares together, with the program's own
// memory, stay below the limit: near it the garbage collector would run all the time.
type Budget struct {
	// Limit is for the whole process.
	Limit Size
	// LiveWindow, WriteQueue, RequestMemory and ThumbnailMemory are those of the
	// configuration, or shares of the limit.
	LiveWindow, WriteQueue, RequestMemory, ThumbnailMemory Size
	// Answers is for rows that requests read from the database, and for the answers
	// made of them.
	Answers Size
	// Caches has the size of each cache.
	Caches Caches
}

// Budget divides the memory: shares that are not configured are derived from the limit,
// and the limit, if it is not configured, from the machine's memory.
func (c *Config) Budget() Budget { return c.budget(os.DirFS("/")) }

func (c *Config) budget(root fs.FS) Budget {
	limit := c.Memory.Limit
	if limit == 0 {
		limit = c.autoLimit(root)
	}
	left := max(min(limit, maxShared), minMemoryLimit) - ownMemory
	// share returns whole MiB, which are easier to read.
	share := func(configured, sixteenths, least Size) Size {
		if configured != 0 {
			return configured
		}
		return max(left*sixteenths/16>>20<<20, least)
	}
	return Budget{
		Limit:           limit,
		LiveWindow:      share(c.Limits.LiveWindow, 1, 0),
		WriteQueue:      share(c.Limits.WriteQueue, 1, minWriteQueue),
		RequestMemory:   share(c.Limits.RequestMemory, 1, 0),
		ThumbnailMemory: share(c.Media.ThumbnailMemory, 4, minThumbnailMemory),
		Answers:         share(0, 2, 0),
		Caches:          newCaches(share(0, 3, 0)),
	}
}

// Caches is how many bytes each cache may hold.
type Caches struct {
	RoomState, Transactions                      Size // internal/rooms
	Access, RecentRooms                          Size // internal/rooms/timeline
	Viewers, LazyMembers, Filters, Connections   Size // internal/syncstream
	PushRules, PushRooms, PushNames, PushBudgets Size // internal/personal/push
	UnreadCounts, ReadMarks                      Size // internal/personal/push, internal/personal/receipts
	PushBadges, PushMembers, PushedCounts        Size // internal/personal/push, internal/personal/httppusher
	IgnoredUsers, InvitePermissions              Size // internal/personal/accountdata
	Presence, Typing                             Size
	AccessTokens, Sightings, Familiar            Size // internal/auth
	RateLimits                                   Size
	KeyCounts, PublicKeys, ToDevice              Size // internal/e2ee
	AppServiceRooms                              Size // internal/appservice/transactions
}

// newCaches divides the memory for caches. Values that each request needs, and that are
// expensive to read again, get most.
func newCaches(all Size) Caches {
	share := func(percent Size) Size { return all * percent / 100 }
	return Caches{
		RoomState: share(12), Transactions: share(3),
		Access: share(2), RecentRooms: share(20),
		Viewers: share(7), LazyMembers: share(4), Filters: share(2), Connections: share(2),
		PushRules: share(7), PushRooms: share(4), PushNames: share(3), PushBudgets: share(1),
		UnreadCounts: share(5), ReadMarks: share(2),
		PushBadges: share(1), PushMembers: share(1), PushedCounts: share(1),
		IgnoredUsers: share(1), InvitePermissions: share(1),
		Presence: share(4), Typing: share(1),
		AccessTokens: share(3), Sightings: share(1), Familiar: share(2),
		RateLimits: share(4),
		KeyCounts:  share(1), PublicKeys: share(3), ToDevice: share(1),
		AppServiceRooms: share(1),
	}
}

// autoLimit returns a quarter of the machine, where there are others, or most of the
// memory that a container or a unit of systemd allows the group of processes: half of
// it where PostgreSQL is part of the group.
func (c *Config) autoLimit(root fs.FS) Size {
	machine, known := machineMemory(root)
	limit := machine / 4
	if !known {
		machine, limit = math.MaxInt64, usualMemory
	}
	if group, ok := groupMemory(root); ok && group < machine {
		limit = group / 4 * 3
		if c.Database.URL == "" {
			limit = group / 2
		}
	}
	return min(max(limit>>20<<20, minMemoryLimit), maxAutoLimit)
}

// machineMemory reads the memory of the machine, as Linux reports it.
func machineMemory(root fs.FS) (Size, bool) {
	content, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return Size(kilobytes << 10), err == nil && kilobytes > 0
		}
	}
	return 0, false
}

// groupMemory reads the least memory that the control groups of this process allow, of either version.
func groupMemory(root fs.FS) (least Size, ok bool) {
	content, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	least = math.MaxInt64
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var base, file string
		switch {
		case parts[0] == "0" && parts[1] == "":
			base, file = "sys/fs/cgroup", "memory.max"
		case parts[1] == "memory":
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// Each group above has bounds, too. In a container the first may be outside of
		// the visible tree.
		for group := path.Join("/", parts[2]); ; group = path.Dir(group) {
			if n, found := readBytes(root, path.Join(base, group, file)); found {
				least, ok = min(least, n), true
			}
			if group == "/" {
				break
			}
		}
	}
	return least, ok
}

// readBytes reads a file with a number; "max" means none.
func readBytes(root fs.FS, name string) (Size, bool) {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	return Size(n), err == nil && n > 0
}
