package config

import (
	"reflect"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// machine returns the files of a Linux machine of 8 GB that tell of memory, and some more.
func machine(more map[string]string) fstest.MapFS {
	root := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal:        8388608 kB\nMemFree:          100 kB\n")}}
	for name, content := range more {
		root[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return root
}

func TestMemoryLimitFollowsWhatThereIs(t *testing.T) {
	t.Parallel()
	const elsewhere = "postgres://db/homeserver"
	for name, test := range map[string]struct {
		root     fstest.MapFS
		database Secret
		want     Size
	}{
		"nothing is known":            {fstest.MapFS{}, "", 1 << 30},
		"nonsense":                    {fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: lots\n")}, "proc/self/cgroup": {Data: []byte("x\n")}}, "", 1 << 30},
		"a machine":                   {machine(nil), "", 2 << 30},
		"a small machine":             {fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: 262144 kB\n")}}, "", 128 << 20},
		"a large machine":             {fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: 67108864 kB\n")}}, "", 4 << 30},
		"a container":                 {machine(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}), elsewhere, 384 << 20},
		"a container with PostgreSQL": {machine(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}), "", 256 << 20},
		"a container without a limit": {machine(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}), elsewhere, 2 << 30},
		"a group within a group": {machine(map[string]string{
			"proc/self/cgroup":                           "0::/a.slice/b.service\n",
			"sys/fs/cgroup/a.slice/memory.max":           "1073741824\n",
			"sys/fs/cgroup/a.slice/b.service/memory.max": "4294967296\n",
		}), elsewhere, 768 << 20},
		"groups of the first version": {machine(map[string]string{
			"proc/self/cgroup":                           "5:cpu:/\n4:memory:/docker/1\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}), elsewhere, 192 << 20},
		"the first version without a limit": {machine(map[string]string{
			"proc/self/cgroup":                           "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}), elsewhere, 2 << 30},
	} {
		cfg := Default()
		cfg.Database.URL = test.database
		if got := cfg.budget(test.root).Limit; got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestBudgetSharesOutTheLimit(t *testing.T) {
	t.Parallel()
	const mib = Size(1 << 20)
	for limit, want := range map[Size]Budget{
		128 * mib:  {LiveWindow: 4 * mib, WriteQueue: 8 * mib, RequestMemory: 4 * mib, ThumbnailMemory: 32 * mib, Answers: 8 * mib, Caches: newCaches(12 * mib)},
		1024 * mib: {LiveWindow: 60 * mib, WriteQueue: 60 * mib, RequestMemory: 60 * mib, ThumbnailMemory: 241 * mib, Answers: 120 * mib, Caches: newCaches(180 * mib)},
		64 << 30:   {LiveWindow: 252 * mib, WriteQueue: 252 * mib, RequestMemory: 252 * mib, ThumbnailMemory: 1009 * mib, Answers: 504 * mib, Caches: newCaches(756 * mib)},
	} {
		cfg := Default()
		cfg.Memory.Limit, want.Limit = limit, limit
		if diff := cmp.Diff(want, cfg.Budget()); diff != "" {
			t.Errorf("%s: %s", limit, diff)
		}
	}
	cfg := Default()
	cfg.Memory.Limit, cfg.Limits.LiveWindow, cfg.Media.ThumbnailMemory = 128<<20, 3<<20, 7<<20
	cfg.Limits.WriteQueue, cfg.Limits.RequestMemory = 5<<20, 6<<20
	want := Budget{
		Limit: 128 << 20, LiveWindow: 3 << 20, WriteQueue: 5 << 20, RequestMemory: 6 << 20, ThumbnailMemory: 7 << 20,
		Answers: 8 << 20, Caches: newCaches(12 << 20),
	}
	if diff := cmp.Diff(want, cfg.Budget()); diff != "" {
		t.Errorf("what is configured: %s", diff)
	}
}

// Large answers once had 128 MiB whatever the limit, and caches were counted by number.
func TestSharesTogetherStayBelowTheLimit(t *testing.T) {
	t.Parallel()
	for limit, most := range map[Size]float64{128 << 20: 1, 256 << 20: 0.85, 512 << 20: 0.8, 1 << 30: 0.8, 4 << 30: 0.8} {
		cfg := Default()
		cfg.Memory.Limit = limit
		b := cfg.Budget()
		var caches Size
		for _, share := range reflect.ValueOf(b.Caches).Fields() {
			if share.Int() < 64<<10 {
				t.Errorf("%s: a cache has %d bytes", limit, share.Int())
			}
			caches += Size(share.Int())
		}
		sum := ownMemory + b.LiveWindow + b.WriteQueue + b.RequestMemory + b.ThumbnailMemory + b.Answers + caches
		if float64(sum) > most*float64(limit) {
			t.Errorf("%s: %s are promised", limit, sum)
		}
		if caches > 3*(limit-ownMemory)/16 {
			t.Errorf("%s: the caches have %s", limit, caches)
		}
	}
}

func TestBudgetOfThisMachine(t *testing.T) {
	t.Parallel()
	if got := Default().Budget(); got.Limit < minMemoryLimit || got.Limit > maxAutoLimit {
		t.Errorf("got %+v", got)
	}
}
