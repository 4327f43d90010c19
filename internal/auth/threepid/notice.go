package threepid

import (
	"context"
	"fmt"
	"slices"
	"time"

	"homeserver/internal/httpapi/ratelimit"
)

const (
	// maxNotices bounds the notices that wait to be sent; beyond it they are dropped.
	maxNotices = 256
	// noticeTimeout bounds the sending of one, to all addresses of an account.
	noticeTimeout = 2 * time.Minute
)

// notice is a message to the owner of an account about a change that a thief of the
// account would make too.
type notice struct {
	userID string
	// about is the address that was added or removed; the zero value: neither.
	about   Address
	removed bool
	subject string
	what    string
}

// NotifyNewPassword sends a message to all addresses of an account that it has a new
// password. It does not wait until the messages are sent; errors are logged.
func (s *Service) NotifyNewPassword(ctx context.Context, userID string) {
	s.notify(ctx, notice{
		userID: userID, subject: "The password of your account on " + s.o.ServerName + " was changed",
		what: fmt.Sprintf("The password of %s was changed.", userID),
	})
}

// notifyAdded sends a message about a new address to those that an account had before, as
// NotifyNewPassword does.
func (s *Service) notifyAdded(ctx context.Context, userID string, added Address) {
	s.notify(ctx, notice{
		userID: userID, about: added, subject: "Your account on " + s.o.ServerName + " has a new address",
		what: fmt.Sprintf("The address %s was added to %s. With it a new password can be set.", added.Address, userID),
	})
}

func removedNotice(userID string, removed Address) notice {
	return notice{
		userID: userID, about: removed, removed: true, subject: "An address was removed from your account",
		what: fmt.Sprintf("The address %s was removed from %s.", removed.Address, userID),
	}
}

// Stop waits for the notices that are being sent. To be called when no request is
// served any more.
func (s *Service) Stop() { s.sending.Wait() }

// notify sends a notice in the background.
func (s *Service) notify(ctx context.Context, n notice) {
	select {
	case s.notices <- struct{}{}:
	default:
		s.o.Log.WarnContext(ctx, "a change of an account is told to nobody: too many messages wait", "user_id", n.userID)
		return
	}
	ctx = context.WithoutCancel(ctx) // the client need not wait for it
	s.sending.Go(func() {
		defer func() { <-s.notices }()
		ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
		defer cancel()
		s.deliver(ctx, n)
	})
}

// deliver sends a notice to its receivers.
func (s *Service) deliver(ctx context.Context, n notice) {
	contacts, err := listAddresses(ctx, s.o.Pool, n.userID)
	if err != nil {
		s.o.Log.ErrorContext(ctx, "a change of an account is told to nobody", "user_id", n.userID, "error", err)
		return
	}
	for _, to := range n.receivers(contacts, s.Proves) {
		if err := s.sendNotice(ctx, to, n); err != nil {
			s.o.Log.WarnContext(ctx, "a change of an account could not be told", "user_id", n.userID, "medium", to.Medium, "error", err)
		}
	}
}

// receivers selects the addresses that get the notice: those for mail, and phone
// numbers only where no mail can be sent.
func (n notice) receivers(contacts []Contact, reaches func(medium string) bool) []Address {
	var all []Address
	if n.removed {
		all = append(all, n.about)
	}
	for _, c := range contacts {
		if c.Address != n.about {
			all = append(all, c.Address)
		}
	}
	for _, medium := range []string{Email, Phone} {
		reached := slices.DeleteFunc(slices.Clone(all), func(a Address) bool { return a.Medium != medium })
		if reaches(medium) && len(reached) > 0 {
			return reached
		}
	}
	return nil
}

// sendNotice sends a notice to one address. Its limit is not that of the messages that
// strangers can ask for, or a thief could keep it from being sent.
func (s *Service) sendNotice(ctx context.Context, to Address, n notice) error {
	if _, err := s.o.Limits.Take(ratelimit.MailsToAddress, "notice:"+to.Medium+":"+to.Address); err != nil {
		return err
	}
	advice := "If this was you, there is nothing to do. If it was not, somebody else is using your account: " +
		"set a new password at once, which logs out all other devices, and look through its addresses."
	if to.Medium == Phone {
		return s.sendText(ctx, to, n.what+" If this was not you, set a new password at once.")
	}
	return s.o.Mail.send(ctx, to, letter{Subject: n.subject, Paragraphs: []string{n.what, advice}})
}
