package disk

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"homeserver/internal/matrix"
)

// interval is how often the disks are measured. The floor must have room for all that
// can be written meanwhile.
const interval = 2 * time.Second

// ErrFull is the answer to requests that store data while there is too little room:
// M_UNKNOWN with 503.
var ErrFull = &matrix.Error{
	Code:       matrix.Unknown,
	Message:    "The server's disk is nearly full: it keeps nothing new until its operator has made room",
	Status:     http.StatusServiceUnavailable,
	RetryAfter: time.Minute,
}

// Options sets up a Watch.
type Options struct {
	// Floor is how many bytes must be free; 0: a disk is never nearly full.
	Floor int64
	// Free measures the free bytes of a folder's disk; nil: [Free].
	Free func(folder string) (int64, error)
	Log  *slog.Logger
}

// Watch measures disks. It may be used concurrently once all spaces are added.
type Watch struct {
	o      Options
	spaces []*Space

	stopOnce sync.Once
	stopping chan struct{}
}

// NewWatch makes a Watch of no disk.
func NewWatch(o Options) *Watch {
	if o.Free == nil {
		o.Free = Free
	}
	return &Watch{o: o, stopping: make(chan struct{})}
}

// Space is the room on the disk of a folder. A nil Space always has room: it is for a
// disk that is none of ours.
type Space struct {
	folder string
	full   atomic.Bool
}

// Add watches the disk of a folder too, from Start on. Folders on one disk have one
// Space.
func (w *Watch) Add(folder string) *Space {
	for _, s := range w.spaces {
		if s.folder == folder || same(s.folder, folder) {
			return s
		}
	}
	s := &Space{folder: folder}
	w.spaces = append(w.spaces, s)
	return s
}

// Check returns [ErrFull] while the disk is nearly full.
func (s *Space) Check() error {
	if s != nil && s.full.Load() {
		return ErrFull
	}
	return nil
}

// Start measures the disks now, and then every few seconds until Stop.
func (w *Watch) Start() {
	if w.o.Floor == 0 {
		return
	}
	for _, s := range w.spaces {
		w.measure(s)
		go w.watch(s)
	}
}

// Stop ends that. It does not wait for a look that is under way, which a file system on
// a network can make last for ever.
func (w *Watch) Stop() { w.stopOnce.Do(func() { close(w.stopping) }) }

func (w *Watch) watch(s *Space) {
	next := time.NewTicker(interval)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			w.measure(s)
		case <-w.stopping:
			return
		}
	}
}

// measure measures a disk. The state of one that can't be measured stays.
func (w *Watch) measure(s *Space) {
	free, err := w.o.Free(s.folder)
	if err != nil {
		return
	}
	enough := w.o.Floor
	if s.full.Load() {
		enough += w.o.Floor / 8
	}
	full := free < enough
	if s.full.Swap(full) == full {
		return
	}
	state := []any{"folder", s.folder, "free_bytes", free, "floor_bytes", w.o.Floor}
	if full {
		w.o.Log.Error("the disk is nearly full: what would be kept there is refused until there is room", state...)
	} else {
		w.o.Log.Info("the disk has room again", state...)
	}
}
