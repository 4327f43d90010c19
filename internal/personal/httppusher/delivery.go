package httppusher

import (
	"maps"
	"math/rand/v2"
	"net/url"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
)

// backoff is how long a gateway that fails is left alone: at first, at most, and after
// which time what it was owed is given up.
type backoff struct{ first, most, patience time.Duration }

var usualBackoff = backoff{first: 2 * time.Second, most: time.Hour, patience: 24 * time.Hour}

// after returns the delay after so many attempts in a row, which varies, so that not all
// come back at once.
func (b backoff) after(attempts int) time.Duration {
	delay := b.most
	if attempts < 20 {
		delay = min(b.first<<(attempts-1), b.most)
	}
	return delay - rand.N(delay/4+1) //nolint:gosec // nothing depends on its being unpredictable
}

// delivery is a pusher that something is to be sent to.
type delivery struct {
	push.HTTPPusher
	host   string
	loaded time.Time // when the row was read
	since  time.Time // when it was first known that there is something

	// got is the position up to which it has everything, and upTo that up to which
	// something concerns it.
	got, upTo journal.Position
	// rooms are those that concern it, with the user's membership; nil: any may.
	rooms   map[journal.RoomNID]string
	mayFall bool // the number of unread notifications

	// It waits for its turn, or runs, or what is to be done has been done.
	waiting, running bool
	// stranger: while it runs, its gateway counts as one that has not answered well.
	stranger bool
	stored   bool // the table has a position for it
	dirty    bool // the table is to be brought up to date
}

func newDelivery(p *push.HTTPPusher, now time.Time) *delivery {
	address, _ := event.StringField(p.Data, "url")
	d := &delivery{HTTPPusher: *p, loaded: now, since: now}
	d.Due = nil
	if u, err := url.Parse(address); err == nil {
		d.host = u.Host
	}
	return d
}

// isFailing reports whether it is left alone until it is due.
func (d *delivery) isFailing() bool { return d.Due != nil }

// isDone reports whether nothing is left to be sent.
func (d *delivery) isDone() bool { return !d.running && !d.waiting && d.Due == nil }

// concern adds what concerns its user in (after, upTo]. A pusher that was set in between
// has no number that could fall.
func (d *delivery) concern(c *concern, after, upTo journal.Position) {
	d.upTo = max(d.upTo, upTo)
	d.mayFall = d.mayFall || c.mayFall && after >= d.got
	if d.rooms != nil {
		maps.Copy(d.rooms, c.rooms)
	}
}

// goOn adds the rooms of a turn that was not enough.
func (d *delivery) goOn(rooms map[journal.RoomNID]string) {
	if rooms == nil || d.rooms == nil {
		d.rooms = nil
		return
	}
	for room, membership := range rooms {
		if _, newer := d.rooms[room]; !newer {
			d.rooms[room] = membership
		}
	}
}

// progress is what the table is to say of it.
func (d *delivery) progress(now time.Time) push.Progress {
	switch {
	case d.isDone():
		return push.Progress{}
	case d.isFailing():
		return push.Progress{Got: &d.got, Due: d.Due, FailingSince: d.FailingSince, Attempts: d.Attempts}
	}
	p := push.Progress{Got: &d.got, Due: &now, FailingSince: d.FailingSince, Attempts: d.Attempts}
	if d.mayFall {
		p.Attempts = max(1, p.Attempts) // so that the process that goes on with it checks the number of unread
	}
	return p
}

// fail notes a failure.
func (d *delivery) fail(now time.Time, b backoff) {
	d.Attempts++
	due := now.Add(b.after(d.Attempts))
	d.Due, d.dirty, d.rooms = &due, true, nil
	switch {
	case d.FailingSince == nil:
		d.FailingSince = &now
	case now.Sub(*d.FailingSince) > b.patience:
		d.FailingSince, d.got = &now, d.upTo
	}
}
