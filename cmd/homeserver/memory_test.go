package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestMemoryLimitIsKeptByTheCollector(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	d := serveFrom(t, t.TempDir(), append(environment(t), "HOMESERVER_METRICS_LISTEN=localhost:0", "HOMESERVER_MEMORY_LIMIT=256MiB")...)
	_, page := get(t, regexp.MustCompile(`http://\S+/metrics`).FindString(d.stdout.String()))
	if want := fmt.Sprintf("\ngo_gc_gomemlimit_bytes %v\n", float64(256<<20)); !strings.Contains(page, want) {
		t.Errorf("the metrics lack %q", want)
	}
	d.end(syscall.SIGTERM)
}

// residentBytes reads how much memory a process takes, which only Linux reports.
func residentBytes(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("this system does not tell")
	}
	resident := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if resident == nil {
		t.Fatalf("%s", status)
	}
	kilobytes, err := strconv.Atoi(string(resident[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

func TestIdleServerIsSmall(t *testing.T) {
	t.Parallel()
	if info, _ := debug.ReadBuildInfo(); info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector takes many times the memory")
	}
	d := serveFrom(t, t.TempDir(), environment(t)...)
	get(t, d.http+"/_matrix/client/versions")
	if got := residentBytes(t, d.Process.Pid); got > 64<<20 {
		t.Errorf("%d MiB, want 64 at most", got>>20)
	}
	d.end(syscall.SIGTERM)
}
