package journal

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// gap is positions in (after, upTo] that are of no entry and never will be.
type gap struct{ After, UpTo Position }

// gaps are all of them, in order.
type gaps []gap

// past gives the position itself, or the end of the gap where it is at the beginning
// of one or inside: no entry stands between.
func (g gaps) past(p Position) Position {
	for _, one := range g {
		if one.After <= p && p < one.UpTo {
			return one.UpTo
		}
	}
	return p
}

func loadGaps(ctx context.Context, conn *pgx.Conn) (gaps, error) {
	rows, _ := conn.Query(ctx, `SELECT after, up_to FROM journal_gaps ORDER BY after`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[gap])
	if err != nil {
		return nil, fmt.Errorf("read the gaps of the journal: %w", err)
	}
	return list, nil
}

// Stored reads how far the journal is, for who has no journal that runs.
func Stored(ctx context.Context, tx pgx.Tx) (p Position, err error) {
	if err := tx.QueryRow(ctx, `SELECT position FROM journal`).Scan(&p); err != nil {
		return 0, fmt.Errorf("read the journal's position: %w", err)
	}
	return p, nil
}

// Leap moves the journal on to a position without entries in between: the one
// exception to positions without gaps, for a database that was set back to an earlier
// time. The next entry stands after the position, which has to be beyond everything
// that clients were told before. Whoever asks by a token from the gap gets what was
// written after it, and followers step over it. No server may run meanwhile.
func Leap(ctx context.Context, tx pgx.Tx, to Position) error {
	_, err := tx.Exec(ctx, `INSERT INTO journal_gaps (after, up_to) SELECT position, $1 FROM journal`, to)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE journal SET position = $1`, to)
	}
	if err != nil {
		return fmt.Errorf("move the journal on to %d: %w", to, err)
	}
	return nil
}
