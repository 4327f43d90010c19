package journal

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// queue has the writes that wait for the writer.
type queue struct {
	// filled signals to the writer that there is something to do.
	filled chan struct{}

	mu     sync.Mutex
	writes []*Pending
	bytes  int
	looks  []chan<- error // callers that wait until the commits of other processes are read
	outbox bool           // there may be something in the outbox
	closed bool           // no more writes are accepted
}

// Pending is a write on its way.
type Pending struct {
	w    *Write
	size int
	err  error
	done chan struct{}
}

// Wait returns once the write is durable and shown, or has failed. The error
// is that of the statement or the connection; after a lost connection it is
// not known whether the write was committed.
func (p *Pending) Wait() error {
	<-p.done
	return p.err
}

// Committed reports, without waiting, whether the write is durable and shown.
func (p *Pending) Committed() bool {
	select {
	case <-p.done:
		return p.err == nil
	default:
		return false
	}
}

// Answered reports whether Wait would return at once.
func (p *Pending) Answered() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// answer ends the waiting.
func (p *Pending) answer(err error) {
	p.err = err
	p.w = nil // a caller that keeps p for its outcome does not keep the entries
	close(p.done)
}

// Commit waits for the caller's turn, enqueues a write, and waits until it is durable
// and shown. Its bytes are counted for the context's caller, who may be the server
// itself. M_LIMIT_EXCEEDED if these are too many; errors of Turn, Enqueue and Wait.
func (j *Journal) Commit(ctx context.Context, w *Write) error {
	claims, err := j.charge(ctx, w)
	if err != nil {
		return err
	}
	if err := j.commit(ctx, w); err != nil {
		claims.GiveBack()
		return err
	}
	return nil
}

// charge counts the bytes of a write.
func (j *Journal) charge(ctx context.Context, w *Write) (ratelimit.Claims, error) {
	return j.o.Limits.TakeAll([]ratelimit.Cost{{Kind: ratelimit.WrittenBytes, Key: matrix.Payer(ctx), N: w.size()}})
}

func (j *Journal) commit(ctx context.Context, w *Write) error {
	end, err := j.Turn(ctx, w.size())
	if err != nil {
		return err
	}
	defer end()
	p, err := j.Enqueue(w)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Turn waits until it is the turn of the context's caller to write about so many bytes.
// The caller calls end when the write is answered, which ends its turn. Only a caller
// that has a turn may enqueue, so that one with much to write waits for itself and not
// in front of all others. Where the order of writes matters it is that of Enqueue, and
// must be settled after the turn has come. The context's error if that ends first; 503
// M_UNKNOWN or M_LIMIT_EXCEEDED if too many wait already.
func (j *Journal) Turn(ctx context.Context, bytes int) (end func(), err error) {
	caller := matrix.Caller(ctx)
	least := j.o.GroupBytes / j.o.GroupWrites // many small writes fill a group, too
	n, err := j.turns.Enter(ctx, caller, int64(max(bytes, least)))
	if err != nil {
		return nil, err
	}
	return func() { j.turns.Leave(caller, n) }, nil
}

// Enqueue puts a write at the end of the queue without blocking; writes are committed
// in the order of the queue. M_LIMIT_EXCEEDED when the queue is full, M_TOO_LARGE for a
// write that is larger than an empty queue holds, 503 when the journal is stopping.
// Only a caller that has a turn may call it: see Turn.
func (j *Journal) Enqueue(w *Write) (*Pending, error) {
	if len(w.Entries) == 0 {
		return nil, errors.New("a write to the journal needs an entry")
	}
	p := &Pending{w: w, size: w.size(), done: make(chan struct{})}
	j.queue.mu.Lock()
	err := j.admit(p)
	j.queue.mu.Unlock()
	if err != nil {
		return nil, err
	}
	signal(j.queue.filled)
	return p, nil
}

func (j *Journal) admit(p *Pending) error {
	q := &j.queue
	if q.closed {
		return errStopping()
	}
	if p.size > j.o.QueueBytes {
		return matrix.Errorf(matrix.TooLarge, "this is more than the server writes at once")
	}
	if len(q.writes) >= j.o.QueueWrites || q.bytes+p.size > j.o.QueueBytes {
		j.metrics.refused.Inc()
		return &matrix.Error{
			Code: matrix.LimitExceeded, Message: "the server has too much to write at the moment: try again in a second", RetryAfter: time.Second,
		}
	}
	q.writes = append(q.writes, p)
	q.bytes += p.size
	return nil
}

func errStopping() error {
	return &matrix.Error{
		Code: matrix.Unknown, Message: "the server is shutting down",
		Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	}
}

// look asks the writer to read the commits of others, after it has taken over the
// entries of the outbox if outbox is true; it answers once.
func (q *queue) look(outbox bool) (<-chan error, error) {
	looked := make(chan error, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errStopping()
	}
	q.looks, q.outbox = append(q.looks, looked), q.outbox || outbox
	signal(q.filled)
	return looked, nil
}

// await returns when so many writes wait, or the time is over. Only the writer may call
// it: it consumes the signal that there is something to do.
func (q *queue) await(writes int, patience time.Duration) {
	over := time.NewTimer(patience)
	defer over.Stop()
	for q.waiting() < writes {
		select {
		case <-q.filled:
		case <-over.C:
			return
		}
	}
}

func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.writes)
}

// close has all further writes refused.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.filled)
}

// work is the writer's next task.
type work struct {
	group  []*Pending
	looks  []chan<- error
	outbox bool // look into the outbox
	watch  bool // nobody asks, but it is time to look
	last   bool // nothing will follow
}

func (w *work) empty() bool { return len(w.group) == 0 && len(w.looks) == 0 && !w.outbox }

// takeGroup returns the next group, within the bounds, and leaves requests for a look.
func (q *queue) takeGroup(maxWrites, maxBytes int) []*Pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cut(maxWrites, maxBytes)
}

// cut takes a group off the queue. The lock is held.
func (q *queue) cut(maxWrites, maxBytes int) []*Pending {
	n, bytes := 0, 0
	for n < len(q.writes) && n < maxWrites && (n == 0 || bytes+q.writes[n].size <= maxBytes) {
		bytes += q.writes[n].size
		n++
	}
	group := q.writes[:n:n]
	q.writes = q.writes[n:]
	q.bytes -= bytes
	if len(q.writes) == 0 {
		q.writes = nil
	}
	return group
}

// take returns the next work: a group within the bounds, and all requests for a look.
func (q *queue) take(maxWrites, maxBytes int) *work {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &work{group: q.cut(maxWrites, maxBytes), looks: q.looks, outbox: q.outbox}
	q.looks, q.outbox = nil, false
	w.last = q.closed && len(w.group) == 0 && len(w.looks) == 0 // the outbox can wait for the next start
	return w
}

// fail answers everybody with an error.
func (w *work) fail(err error) {
	for _, p := range w.group {
		p.answer(err)
	}
	for _, looked := range w.looks {
		looked <- err
	}
}
