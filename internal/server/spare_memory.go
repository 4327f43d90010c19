package server

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// spareLook is the time between two looks at the memory.
	spareLook = 15 * time.Second
	// leastSpare is how much must be spare to be worth a collection.
	leastSpare = 8 << 20
)

// spareMemory returns memory to the system that a load has left behind. The collector runs
// when the heap has grown to twice of what is in use, and then not before as much has been
// allocated once more: an idle server would keep all of that for hours.
type spareMemory struct {
	stopping chan struct{}
	stopped  sync.WaitGroup
}

func newSpareMemory() *spareMemory { return &spareMemory{stopping: make(chan struct{})} }

// Start begins to look.
func (m *spareMemory) Start(context.Context) {
	m.stopped.Go(func() { m.watch(readHeap, debug.FreeOSMemory) })
}

// Stop ends that.
func (m *spareMemory) Stop() {
	close(m.stopping)
	m.stopped.Wait()
}

func (m *spareMemory) watch(read func() heap, giveBack func()) {
	look := time.NewTicker(spareLook)
	defer look.Stop()
	before := read()
	for {
		select {
		case <-look.C:
		case <-m.stopping:
			return
		}
		now := read()
		if now.quietSince(before) && now.spare >= max(leastSpare, now.used/8) {
			giveBack()
		}
		before = now
	}
}

// heap is the state of the process's heap, in bytes.
type heap struct {
	allocated uint64 // in all, since the start
	used      uint64 // after the last collection
	spare     uint64 // garbage, and what is free but not returned to the system
}

// quietSince reports whether so little was allocated that the collector would run by itself
// in some minutes only.
func (h heap) quietSince(before heap) bool {
	return h.allocated-before.allocated < max(h.used, leastSpare)/16
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	var values [4]uint64
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			values[i] = s.Value.Uint64()
		}
	}
	allocated, used, objects, free := values[0], values[1], values[2], values[3]
	garbage := objects - min(objects, used)
	return heap{allocated: allocated, used: used, spare: garbage + free}
}
