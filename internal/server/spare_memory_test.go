package server

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestSpareMemoryIsReturnedOnceTheLoadIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		looks := []heap{
			{allocated: 100 * mib, used: 10 * mib, spare: 5 * mib}, // the start
			{allocated: 900 * mib, used: 100 * mib, spare: 90 * mib},
			{allocated: 1800 * mib, used: 100 * mib, spare: 110 * mib},
			{allocated: 1803 * mib, used: 100 * mib, spare: 113 * mib}, // quiet
			{allocated: 1804 * mib, used: 90 * mib, spare: 2 * mib},
			{allocated: 1805 * mib, used: 90 * mib, spare: 3 * mib},
			{allocated: 1830 * mib, used: 90 * mib, spare: 28 * mib},
			{allocated: 1831 * mib, used: 90 * mib, spare: 29 * mib}, // quiet again
			{allocated: 1831 * mib, used: 9 * mib, spare: 7 * mib},
		}
		var at []int
		next := 0
		m := newSpareMemory()
		m.stopped.Go(func() {
			m.watch(func() heap { next++; return looks[next-1] }, func() { at = append(at, next-1) })
		})
		<-time.After(time.Duration(len(looks)-1) * spareLook) // of the bubble
		synctest.Wait()
		m.Stop()
		if want := []int{3, 7}; !slices.Equal(at, want) {
			t.Errorf("returned at the looks %v, want %v", at, want)
		}
	})
}

// It looks at the heap of the whole process, so no other test runs beside it.
func TestHeapIsRead(t *testing.T) {
	const size = 64 << 20
	before := readHeap()
	kept := make([]byte, size)
	runtime.GC()
	with := readHeap()
	runtime.KeepAlive(kept)
	if with.allocated-before.allocated < size || with.used < size {
		t.Errorf("with 64 MiB more: %+v, before: %+v", with, before)
	}
	runtime.GC()
	if after := readHeap(); after.used+size/2 > with.used || after.spare < size/2 {
		t.Errorf("without them: %+v, with: %+v", after, with)
	}
}
