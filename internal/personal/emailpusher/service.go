package emailpusher

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/clock"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/timeline"
)

const (
	// quiet is the time from the first unread notification to the mail about it.
	quiet = 10 * time.Minute
	// firstPause is the least time from the first mail to the second, and longestPause that
	// from one mail to the next where the user reads nothing.
	firstPause, longestPause = time.Hour, 24 * time.Hour
	// firstRetry is the time after which a mail that could not be sent is tried again, which
	// doubles with each attempt. After maxAttempts it is given up.
	firstRetry, maxAttempts = 5 * time.Minute, 8
	// gather is how long after a look at the journal the next one is.
	gather = 2 * time.Second
)

// Options is what a Service is made of.
type Options struct {
	Journal *journal.Journal
	Rooms   *timeline.Store
	Push    *push.Service
	// Mail sends the mails; nil: nobody does.
	Mail *threepid.Mailer
	// Signer has the key that links are signed with.
	Signer *event.Signer
	// ServerName stands in mails, BaseURL is where browsers reach the server, and RoomURL is
	// what the address of a room begins with.
	ServerName, BaseURL, RoomURL string
	Log                          *slog.Logger
	// Clock is the time; nil: the real one.
	Clock *clock.Clock
}

// Service sends mails. Of all processes on a database one does.
type Service struct {
	o        Options
	follower *journal.Follower
	// linkKey authenticates links.
	linkKey [sha256.Size]byte
	now     func() time.Time
	gather  time.Duration
	changed chan struct{} // somebody has set a pusher
}

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{o: o, linkKey: newLinkKey(o.Signer), now: o.Clock.Now, gather: gather, changed: make(chan struct{}, 1)}
	if o.Mail != nil {
		s.follower = o.Journal.FollowerOutside("email_pushers", s.lead)
		o.Push.OnPusherSet(func(string) { s.wake() })
	}
	return s
}

// wake has the pushers read anew.
func (s *Service) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Start begins to send, until Stop. Call it after the journal has been started.
func (s *Service) Start(ctx context.Context) {
	if s.follower != nil {
		s.follower.Start(ctx)
	}
}

// Stop ends the work. A mail that is being sent is sent by the next process to lead.
func (s *Service) Stop() {
	if s.follower != nil {
		s.follower.Stop()
	}
}
