// Package cachetest helps to test that what is kept in memory takes no more of it than
// it says.
package cachetest

import (
	"runtime"
	"testing"

	"homeserver/internal/cache"
)

// Fill fills a cache with more than it may hold, and fails the test where it says that it
// holds more than its share or hardly anything, or where more is live after it than that,
// but for a tenth. Tests that call it must not be parallel: it looks at all that is live.
func Fill(t *testing.T, share int, stats func() cache.Stats, fill func()) {
	t.Helper()
	before := liveHeap()
	fill()
	took := liveHeap() - before
	got := stats()
	t.Logf("%d entries say that they take %d KiB of %d, and take %d", got.Entries, got.Bytes>>10, share>>10, took>>10)
	if got.Bytes > share || got.Bytes < share/3 {
		t.Errorf("the cache says that it holds %d KiB of %d", got.Bytes>>10, share>>10)
	}
	if took > share*11/10 {
		t.Errorf("%d KiB are live, of a share of %d", took>>10, share>>10)
	}
}

// liveHeap is how many bytes are live.
func liveHeap() int {
	runtime.GC()
	runtime.GC() // what has a finalizer, or is pooled, goes the second time
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
