package push

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// What stands in this file is for who sends mails about notifications.

// EmailPusher is a pusher of the kind email that is enabled.
type EmailPusher struct {
	PusherKey
	// Since is the position after which the user is to hear of notifications.
	Since journal.Position
	MailProgress
}

// MailProgress is what an e-mail pusher has been sent.
type MailProgress struct {
	// SentUpTo is the position up to which notifications stood in mails.
	SentUpTo journal.Position
	// Due is when to look at what is unread; nil: nothing has happened.
	Due *time.Time
	// Attempts is how often in a row a mail could not be sent.
	Attempts int
	// Mails is how many mails were sent, the last one at MailedAt, since the user has last
	// read what they were about.
	Mails    int
	MailedAt *time.Time
}

const isMailed = ` kind = 'email' AND enabled `

// UsersWithEmailPushers lists the users who have e-mail pushers that are sent anything.
func (s *Service) UsersWithEmailPushers(ctx context.Context) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT DISTINCT user_id FROM pushers WHERE`+isMailed)
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list who has e-mail pushers: %w", err)
	}
	return users, nil
}

// DueEmailPushers returns up to so many e-mail pushers that are due, those that have waited
// for the longest first, and when the next one is, if it is not yet; zero: there is none.
func (s *Service) DueEmailPushers(ctx context.Context, now time.Time, most int) (due []EmailPusher, next time.Time, err error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT app_id, pushkey, user_id, since, coalesce(sent_up_to, since), due, attempts, mails, mailed_at FROM pushers
		WHERE`+isMailed+`AND due IS NOT NULL ORDER BY due LIMIT $1`, most)
	due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p EmailPusher, err error) {
		err = row.Scan(&p.AppID, &p.Pushkey, &p.UserID, &p.Since, &p.SentUpTo, &p.Due, &p.Attempts, &p.Mails, &p.MailedAt)
		return p, err
	})
	if err != nil {
		return nil, next, fmt.Errorf("read e-mail pushers: %w", err)
	}
	for i := range due {
		if due[i].Due.After(now) {
			return due[:i], *due[i].Due, nil
		}
	}
	if len(due) == most {
		next = now
	}
	return due, next, nil
}

// SetEmailPushersDue has the e-mail pushers of users looked at by then, unless they are due
// already.
func (s *Service) SetEmailPushersDue(ctx context.Context, tx pgx.Tx, users []string, at time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE pushers SET due = $2 WHERE`+isMailed+`AND due IS NULL AND user_id = ANY($1)`, users, at)
	if err != nil {
		return fmt.Errorf("store that e-mail pushers are due: %w", err)
	}
	return nil
}

// SaveMailProgress stores what an e-mail pusher has been sent.
func (s *Service) SaveMailProgress(ctx context.Context, key PusherKey, p MailProgress) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE pushers SET sent_up_to = $4, due = $5, attempts = $6, mails = $7, mailed_at = $8
		WHERE app_id = $1 AND pushkey = $2 AND user_id = $3 AND kind = 'email'`,
		key.AppID, key.Pushkey, key.UserID, p.SentUpTo, p.Due, p.Attempts, p.Mails, p.MailedAt)
	if err != nil {
		return fmt.Errorf("store what was mailed to %s: %w", key.UserID, err)
	}
	return nil
}

// RemoveEmailPusher deletes the e-mail pusher of a user to an address, if there is one.
func (s *Service) RemoveEmailPusher(ctx context.Context, userID, address string) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM pushers WHERE kind = 'email' AND user_id = $1 AND pushkey = $2`, userID, address)
	if err != nil {
		return fmt.Errorf("delete an e-mail pusher of %s: %w", userID, err)
	}
	return nil
}

// OwnsEmail reports whether an e-mail address still belongs to the account of a user.
func (s *Service) OwnsEmail(ctx context.Context, userID, address string) (bool, error) {
	if s.o.OwnsEmail == nil {
		return false, nil
	}
	return s.o.OwnsEmail(ctx, userID, address)
}
