// Package cachetest has a helper for tests that a cache takes no more memory than it
// reports.
package cachetest

import (
	"runtime"
	"testing"

	"homeserver/internal/cache"
)

// Fill fills a cache with more than its share. The test fails if the cache then reports more
// than its share or hardly anything, or if the heap has grown by more than the share and a
// tenth. Tests that call it must not be parallel: it measures the whole heap.
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

// liveHeap returns how many bytes are live.
func liveHeap() int {
	runtime.GC()
	runtime.GC() // only the second run frees objects with finalizers and those in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
