package emailpusher

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/postgres"
)

// looked is how many notifications, the newest, are looked at for a mail.
const looked = 50

// tryReview reviews a pusher that is due and returns its new progress. One that fails is
// tried again later and holds up no other. The error is that of a database that is away, or
// of the context's end.
func (s *Service) tryReview(ctx context.Context, p *push.EmailPusher, now time.Time) (next push.MailProgress, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.o.Log.ErrorContext(ctx, "a mail about notifications panicked", "user_id", p.UserID, "panic", r, "stack", string(debug.Stack()))
			next, err = s.failed(p.MailProgress, p.SentUpTo, now), nil
		}
	}()
	next, err = s.review(ctx, p, now)
	if err == nil || ctx.Err() != nil || postgres.Unavailable(err) {
		return next, err
	}
	s.o.Log.ErrorContext(ctx, "a mail about notifications failed", "user_id", p.UserID, "error", err)
	return s.failed(p.MailProgress, p.SentUpTo, now), nil
}

// review sends the mail of a pusher that is due, if there is anything to say, and returns
// its new progress. That the mail server does not take a mail is no error.
func (s *Service) review(ctx context.Context, p *push.EmailPusher, now time.Time) (push.MailProgress, error) {
	next := p.MailProgress
	next.Due = nil
	owns, err := s.o.Push.OwnsEmail(ctx, p.UserID, p.Pushkey)
	if err != nil {
		return next, err
	}
	if !owns {
		return next, s.o.Push.RemoveEmailPusher(ctx, p.UserID, p.Pushkey)
	}
	page, err := s.o.Push.Pushes(ctx, push.PushQuery{
		UserID: p.UserID, After: p.Since, UpTo: s.o.Journal.Position(), Most: looked, Late: true, Names: true,
	})
	if err != nil {
		return next, fmt.Errorf("read what to mail to %s: %w", p.UserID, err)
	}
	var fresh []push.Push
	for _, one := range page.List {
		if one.Event.Position > p.SentUpTo {
			fresh = append(fresh, one)
		}
	}
	if len(fresh) == len(page.List) && len(fresh) < looked {
		next.Mails = 0 // what the mails were about is read
	}
	if len(fresh) == 0 {
		return next, nil
	}
	if at := dueAt(fresh[0].Event.OriginServerTS, &next, now); at.After(now) {
		next.Due = &at
		return next, nil
	}
	return s.send(ctx, p, fresh, page, next, now), nil
}

// dueAt returns when a mail is due whose first notification is of a time in milliseconds
// since the epoch, which may be any, as other servers say it.
func dueAt(firstMS int64, p *push.MailProgress, now time.Time) time.Time {
	at := time.UnixMilli(firstMS).Add(quiet)
	if latest := now.Add(quiet); at.After(latest) {
		at = latest
	}
	if p.Mails > 0 && p.MailedAt != nil {
		if allowed := p.MailedAt.Add(pauseAfter(p.Mails)); allowed.After(at) {
			at = allowed
		}
	}
	return at
}

// pauseAfter is the time without mails after so many in a row.
func pauseAfter(mails int) time.Duration {
	pause := firstPause
	for ; mails > 1 && pause < longestPause; mails-- {
		pause *= 2
	}
	return min(pause, longestPause)
}

// send sends the mail.
func (s *Service) send(
	ctx context.Context, p *push.EmailPusher, fresh []push.Push, page *push.PushPage, next push.MailProgress, now time.Time,
) push.MailProgress {
	if err := s.mail(ctx, p, fresh, page.Unread); err != nil {
		s.o.Log.WarnContext(ctx, "a mail about notifications could not be sent", "user_id", p.UserID, "attempt", next.Attempts+1, "error", err)
		return s.failed(next, page.UpTo, now)
	}
	next.MailedAt, next.Mails, next.Attempts, next.SentUpTo = &now, next.Mails+1, 0, page.UpTo
	return next
}

// failed returns the progress of a pusher after an attempt that has failed: it is tried again
// later, or, after the last attempt, what came up to a position is given up.
func (s *Service) failed(p push.MailProgress, upTo journal.Position, now time.Time) push.MailProgress {
	if p.Attempts+1 >= maxAttempts {
		p.Attempts, p.SentUpTo, p.Due = 0, upTo, nil
		return p
	}
	again := now.Add(firstRetry << p.Attempts)
	p.Attempts, p.Due = p.Attempts+1, &again
	return p
}
