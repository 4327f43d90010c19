package profile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// change is a change that is to be told, and who tells it.
type change struct {
	userID string
	number int64
	holder string // of one who tells; "": nobody
}

// noteChange notes, in the transaction that changes a profile, that the change is to
// be told. The holder may tell it if nobody else is at it; else that one goes on with
// the new change. It returns the holder.
func noteChange(ctx context.Context, tx pgx.Tx, userID, holder string) (c change, err error) {
	c.userID = userID
	good := lease
	if holder == "" {
		good = 0 // whoever comes first
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO profile_changes AS c (user_id, holder, until) VALUES ($1, $2, clock_timestamp() + $3)
		ON CONFLICT (user_id) DO UPDATE SET change = c.change + 1, failed = 0,
			holder = CASE WHEN c.holder = '' OR c.until < clock_timestamp() THEN excluded.holder ELSE c.holder END,
			until = CASE WHEN c.holder = '' OR c.until < clock_timestamp() THEN excluded.until ELSE c.until END
		RETURNING change, holder`, userID, holder, good).Scan(&c.number, &c.holder)
	if err != nil {
		return c, fmt.Errorf("note the change: %w", err)
	}
	return c, nil
}

// claim takes on the telling of a change that nobody tells, also one that has failed.
// Else it returns nil, and whether there is a change.
func (s *Service) claim(ctx context.Context, userID, holder string) (c *change, pending bool, err error) {
	c = &change{userID: userID, holder: holder}
	err = s.pool.QueryRow(ctx, `
		UPDATE profile_changes SET holder = $2, until = clock_timestamp() + $3
		WHERE user_id = $1 AND (holder = '' OR until < clock_timestamp()) RETURNING change`, userID, holder, lease).Scan(&c.number)
	if err == nil {
		return c, true, nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM profile_changes WHERE user_id = $1)`, userID).Scan(&pending)
	}
	if err != nil {
		return nil, false, fmt.Errorf("claim the change of the profile of %s: %w", userID, err)
	}
	return nil, pending, nil
}

// keep prolongs a claim; false where it is lost.
func (s *Service) keep(ctx context.Context, c *change) (bool, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE profile_changes SET until = clock_timestamp() + $3 WHERE user_id = $1 AND holder = $2`, c.userID, c.holder, lease)
	if err != nil {
		return false, fmt.Errorf("keep the claim to a change of a profile: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// told forgets a change that is told everywhere. Where there is another one by now, it
// moves on to that one; false where the claim is lost.
func (s *Service) told(ctx context.Context, c *change) (done, held bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM profile_changes WHERE user_id = $1 AND holder = $2 AND change = $3`, c.userID, c.holder, c.number)
	if err == nil && tag.RowsAffected() == 1 {
		return true, true, nil
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, `
			SELECT change FROM profile_changes WHERE user_id = $1 AND holder = $2`, c.userID, c.holder).Scan(&c.number)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("forget a change of a profile that is told: %w", err)
	}
	return false, true, nil
}

// release gives up a claim after a failure: it is tried again, later each time.
func (s *Service) release(ctx context.Context, c *change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	_, err := s.pool.Exec(ctx, `
		UPDATE profile_changes SET holder = '', failed = failed + 1,
			until = clock_timestamp() + least($3::interval * power(2, least(failed, 20)), $4::interval)
		WHERE user_id = $1 AND holder = $2`, c.userID, c.holder, firstRetry, lastRetry)
	if err != nil {
		return fmt.Errorf("give up the claim to a change of a profile: %w", err)
	}
	return nil
}

// abandoned lists users with changes that somebody should tell: because whoever did
// has died or failed.
func (s *Service) abandoned(ctx context.Context) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT user_id FROM profile_changes WHERE until < clock_timestamp() ORDER BY until LIMIT $1`, resumedAtOnce)
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list changes of profiles that are not told: %w", err)
	}
	return users, nil
}

// The times by which changes are told.
const (
	// lease is how long a claim is good without being kept.
	lease = 10 * time.Second
	// firstRetry is when a failure is tried again; each further one takes twice as long,
	// up to lastRetry.
	firstRetry = time.Second
	lastRetry  = time.Hour
	// resumeEvery is how often changes are looked for that nobody tells, and
	// resumedAtOnce how many are told then.
	resumeEvery   = 5 * time.Second
	resumedAtOnce = 100
)
