package todevice

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"homeserver/internal/journal"
)

const (
	// gather is how long acknowledgements wait for others, with which they are deleted.
	gather = 100 * time.Millisecond
	// maxPending bounds the devices that wait for their turn, and atOnce those of one
	// statement.
	maxPending = 100_000
	atOnce     = 500
	// deletedAtOnce bounds the rows that one statement deletes.
	deletedAtOnce = 5_000
	// tidyEvery is how often old transactions are deleted, and sweepEvery how often it is
	// looked for messages without their device.
	tidyEvery  = time.Hour
	sweepEvery = 24 * time.Hour
	// sayAgain is after how long it is logged again that messages to a device are dropped.
	sayAgain = time.Hour
	// retryAfter is the pause after an error of the database.
	retryAfter = time.Second
	// lastTimeout bounds what is deleted at the end.
	lastTimeout = 5 * time.Second
)

// acknowledgement says that a device has all messages up to a position.
type acknowledgement struct {
	UserID   string           `json:"u"`
	DeviceID string           `json:"d"`
	UpTo     journal.Position `json:"p"`
}

// janitor deletes what is not needed any more: messages that were acknowledged, the oldest of
// queues that are too long, and what time has overtaken. Nobody waits for it.
type janitor struct {
	s     *Service
	some  chan struct{} // there is something to do
	ended sync.WaitGroup
	end   context.CancelFunc
	said  map[device]time.Time // when it was logged that messages to a device were dropped

	mu           sync.Mutex
	acknowledged map[device]journal.Position
	suspected    map[device]struct{} // of having too long a queue
}

func newJanitor(s *Service) *janitor {
	return &janitor{
		s: s, some: make(chan struct{}, 1), said: map[device]time.Time{},
		acknowledged: map[device]journal.Position{}, suspected: map[device]struct{}{},
	}
}

// acknowledge notes that messages are to be deleted, and reports whether there was room for
// that.
func (j *janitor) acknowledge(d device, upTo journal.Position) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.acknowledged[d]; !known && len(j.acknowledged) >= maxPending {
		return false
	}
	j.acknowledged[d] = max(j.acknowledged[d], upTo)
	j.wake()
	return true
}

func (j *janitor) wake() {
	select {
	case j.some <- struct{}{}:
	default:
	}
}

// measureEvery is the part of the bound of a queue after which it is measured again.
const measureEvery = 16

// sent is called when messages were sent. Each of their queues is measured after about so many
// messages or bytes, by chance: so nothing need be remembered of it, and nobody knows when.
func (j *janitor) sent(m *Messages) {
	o := &j.s.o
	j.mu.Lock()
	defer j.mu.Unlock()
	for d, content := range m.contents {
		chance := max(measureEvery/float64(o.MaxMessages), measureEvery*float64(len(content)+rowBytes)/float64(o.MaxBytes))
		if len(j.suspected) < maxPending && rand.Float64() < chance { //nolint:gosec // no secret
			j.suspected[d] = struct{}{}
			j.wake()
		}
	}
}

func (j *janitor) start(ctx context.Context) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.end = cancel
	j.ended.Go(func() { j.run(running) })
}

// stop does nothing where start was not called.
func (j *janitor) stop() {
	if j.end != nil {
		j.end()
		j.ended.Wait()
	}
}

func (j *janitor) run(ctx context.Context) {
	tidy, sweep := j.s.o.Clock.NewTicker(tidyEvery), j.s.o.Clock.NewTicker(sweepEvery)
	defer tidy.Stop()
	defer sweep.Stop()
	for {
		var err error
		select {
		case <-j.some:
			if pause(ctx, gather) {
				err = j.work(ctx)
			}
		case <-tidy.C:
			err = j.s.deleteOldTransactions(ctx)
		case <-sweep.C:
			err = j.s.deleteOrphans(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
			defer cancel()
			j.report(last, j.work(last))
			return
		}
		if j.report(ctx, err); err != nil && pause(ctx, retryAfter) {
			j.wake()
		}
	}
}

// pause waits, and reports whether the context lasts.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// report logs an error. What is left is done later, at the latest when the devices acknowledge
// more.
func (j *janitor) report(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		j.s.o.Log.ErrorContext(ctx, "messages to devices cannot be deleted now", "error", err)
	}
}

// work deletes what was acknowledged, and shortens the queues that are too long.
func (j *janitor) work(ctx context.Context) error {
	for {
		list := j.someAcknowledged()
		if len(list) == 0 {
			break
		}
		if err := j.s.deleteAcknowledged(ctx, list); err != nil {
			return err
		}
		j.deleted(list)
	}
	for {
		list := j.takeSuspected()
		if len(list) == 0 {
			return nil
		}
		dropped, err := j.s.shorten(ctx, list)
		if err != nil {
			return err
		}
		for _, d := range dropped {
			j.logDropped(ctx, d)
		}
	}
}

// acknowledgedUpTo returns up to where messages to a device are still to be deleted; 0: none are.
func (j *janitor) acknowledgedUpTo(d device) journal.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acknowledged[d]
}

// someAcknowledged returns some of what is to be deleted.
func (j *janitor) someAcknowledged() (list []acknowledgement) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for d, upTo := range j.acknowledged {
		if len(list) == atOnce {
			break
		}
		list = append(list, acknowledgement{d.UserID, d.DeviceID, upTo})
	}
	return list
}

// deleted notes what was deleted, unless more was acknowledged meanwhile.
func (j *janitor) deleted(list []acknowledgement) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range list {
		if d := (device{a.UserID, a.DeviceID}); j.acknowledged[d] == a.UpTo {
			delete(j.acknowledged, d)
		}
	}
}

func (j *janitor) takeSuspected() (list []device) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for d := range j.suspected {
		if len(list) == atOnce {
			break
		}
		list = append(list, d)
		delete(j.suspected, d)
	}
	return list
}

// dropped is how many messages to a device were dropped.
type dropped struct {
	UserID, DeviceID string
	Number           int64
}

// logDropped logs, once for each device in a while, that messages to it were dropped.
func (j *janitor) logDropped(ctx context.Context, d dropped) {
	j.s.dropped.Add(float64(d.Number))
	const remembered = 1000
	now, key := j.s.o.Clock.Now(), device{d.UserID, d.DeviceID}
	if last, said := j.said[key]; said && now.Sub(last) < sayAgain {
		return
	}
	if len(j.said) >= remembered {
		clear(j.said)
	}
	j.said[key] = now
	j.s.o.Log.WarnContext(ctx, "too many messages wait for a device; the oldest are dropped, and it may not be able to read some encrypted messages",
		"user", d.UserID, "device", d.DeviceID, "dropped", d.Number)
}
