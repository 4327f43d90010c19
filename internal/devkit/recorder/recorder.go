package recorder

import (
	"context"
	"sync"

	"homeserver/internal/devkit/filter"
)

// maxBytes is about how much memory requests take.
const maxBytes = 16 << 20

// Recorder keeps the newest requests. It may be used concurrently.
type Recorder struct {
	mu       sync.Mutex
	requests []Request
	bytes    int
	last     int64
	more     chan struct{} // closed and replaced with each request
}

// NewRecorder returns a Recorder with nothing in it.
func NewRecorder() *Recorder { return &Recorder{more: make(chan struct{})} }

// Add adds a request, and forgets the oldest where there is no room.
func (r *Recorder) Add(request Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	request.N = r.last
	r.requests = append(r.requests, request)
	r.bytes += request.bytes()
	for r.bytes > maxBytes {
		r.bytes -= r.requests[0].bytes()
		r.requests[0] = Request{}
		r.requests = r.requests[1:]
	}
	close(r.more)
	r.more = make(chan struct{})
}

// Clear forgets all requests. Numbers go on.
func (r *Recorder) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.bytes = nil, 0
}

// Find returns the requests after a number that the filter picks, and the number of the newest
// request of all, to go on from.
func (r *Recorder) Find(f *filter.Filter, since int64) (found []Request, newest int64) {
	found, newest, _ = r.find(f, since)
	return found, newest
}

func (r *Recorder) find(f *filter.Filter, since int64) (found []Request, newest int64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found = []Request{}
	for i := range r.requests {
		if request := &r.requests[i]; request.N > since && f.Picks(&request.asked) {
			found = append(found, *request)
		}
	}
	return found, r.last, r.more
}

// Wait is Find once there are as many requests as are waited for, or when the context ends.
func (r *Recorder) Wait(ctx context.Context, f *filter.Filter, since int64, count int) (found []Request, newest int64) {
	for {
		found, newest, more := r.find(f, since)
		if len(found) >= count {
			return found, newest
		}
		select {
		case <-more:
		case <-ctx.Done():
			return found, newest
		}
	}
}
