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
	// usualMemory is the memory for which the sizes of buffers and caches are made.
	usualMemory = Size(1 << 30)
	// minMemoryLimit has room for the program, two passwords being hashed, and small buffers.
	minMemoryLimit = Size(128 << 20)
	// maxAutoLimit is all that a server takes by itself of a large machine.
	maxAutoLimit = Size(4 << 30)
)

// Budget is how the memory is shared out.
type Budget struct {
	// Limit is for the whole process.
	Limit Size
	// LiveWindow, WriteQueue and ThumbnailMemory are those of the configuration, or shares of the limit.
	LiveWindow, WriteQueue, ThumbnailMemory Size
	// Caches is by how much caches are larger, or smaller, than usual.
	Caches float64
}

// Budget shares out the memory: what is not configured is derived from the limit, and the limit, if it
// is not configured, from what there is.
func (c *Config) Budget() Budget { return c.budget(os.DirFS("/")) }

func (c *Config) budget(root fs.FS) Budget {
	limit := c.Memory.Limit
	if limit == 0 {
		limit = c.autoLimit(root)
	}
	scale := min(max(float64(limit)/float64(usualMemory), 0.125), 4)
	// share keeps whole MiB, which are easier to read.
	share := func(configured, usual Size) Size {
		if configured != 0 {
			return configured
		}
		return Size(scale*float64(usual>>20)) << 20
	}
	return Budget{
		Limit:           limit,
		LiveWindow:      share(c.Limits.LiveWindow, 64<<20),
		WriteQueue:      share(c.Limits.WriteQueue, 64<<20),
		ThumbnailMemory: share(c.Media.ThumbnailMemory, 256<<20),
		Caches:          scale,
	}
}

// autoLimit gives a quarter of the machine, where there are others, or most of what the group of
// processes is given by a container or a unit of systemd: half of it where PostgreSQL is part of the group.
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

// machineMemory reads the memory of the machine, as Linux tells it.
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
		// Each group above sets bounds, too. In a container the first may lie outside of what can be seen.
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

// readBytes reads a file with a number; "max" stands for none.
func readBytes(root fs.FS, name string) (Size, bool) {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	return Size(n), err == nil && n > 0
}
