package journal

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// gap is positions in (after, upTo] that are of no entry and never will be.
type gap struct{ After, UpTo Position }

// gaps are all of them, in order.
type gaps []gap

// past returns the position itself, or, if it is at the beginning of a gap or inside,
// the end of the gap: there is no entry between.
func (g gaps) past(p Position) Position {
	for _, one := range g {
		if one.After <= p && p < one.UpTo {
			return one.UpTo
		}
	}
	return p
}

// holds reports whether the position is inside of a gap.
func (g gaps) holds(p Position) bool {
	return slices.ContainsFunc(g, func(one gap) bool { return one.After < p && p < one.UpTo })
}

// Lost reports whether clients got a position from a database that has been set back
// since: the entries that they have seen up to there may not exist.
func (j *Journal) Lost(p Position) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.gaps.holds(p)
}

func loadGaps(ctx context.Context, conn *pgx.Conn) (gaps, error) {
	rows, _ := conn.Query(ctx, `SELECT after, up_to FROM journal_gaps ORDER BY after`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[gap])
	if err != nil {
		return nil, fmt.Errorf("read the gaps of the journal: %w", err)
	}
	return list, nil
}

// Stored reads the position of the journal, for callers without a running one.
func Stored(ctx context.Context, from interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (p Position, err error) {
	if err := from.QueryRow(ctx, `SELECT position FROM journal`).Scan(&p); err != nil {
		return 0, fmt.Errorf("read the journal's position: %w", err)
	}
	return p, nil
}

// Skip moves the journal on to a position without entries in between: the one exception
// to positions without gaps, for a database that was set back to an earlier time. The
// next entry comes after the position, which must be beyond every position that clients
// got before. A request with a token from the gap gets the entries after it, and
// followers skip it. Nothing may be written meanwhile.
func Skip(ctx context.Context, tx pgx.Tx, to Position) error {
	_, err := tx.Exec(ctx, `INSERT INTO journal_gaps (after, up_to) SELECT position, $1 FROM journal`, to)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE journal SET position = $1`, to)
	}
	if err != nil {
		return fmt.Errorf("move the journal on to %d: %w", to, err)
	}
	return nil
}

// skipMargin is how much further on than this process any other one on the database
// may have been.
const skipMargin Position = 1_000_000

// skipLost deals with a database that has lost what it had committed, as when a replica
// took over that was behind: positions that clients know would be used again, for other
// entries, which those clients would never see.
func (w *writer) skipLost(ctx context.Context) (to Position, err error) {
	known := w.j.Position()
	err = pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM journal FOR UPDATE`); err != nil {
			return err
		}
		to, err = Stored(ctx, tx)
		if err != nil || to >= known { // another process was first
			return err
		}
		w.j.o.Log.ErrorContext(ctx, "the database has lost what it had committed; the journal goes on beyond that",
			"committed_up_to", known, "there_up_to", to)
		to = known + skipMargin
		return Skip(ctx, tx, to)
	})
	if err != nil {
		return 0, fmt.Errorf("skip what the database has lost: %w", err)
	}
	return to, nil
}

// errSetBack is the error of writes in whose transaction the database is found to have
// been set back. The writer then makes a new connection and skips the positions that
// were lost.
func errSetBack() error {
	return &matrix.Error{
		Code: matrix.Unknown, Message: "the database was set back to an earlier time; try again",
		Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	}
}
