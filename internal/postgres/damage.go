package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// ErrDamaged is wrapped by the error of a caller that cannot go on without a damaged
// row.
var ErrDamaged = errors.New("damaged in the database")

// told is how many logged rows are remembered. Beyond that the log repeats itself, with
// reason.
const told = 1000

// Damage logs rows of the database that cannot be read: changed by a disk, by hand, or
// by a mistake of an older version. Such a row fails alone. Code that reads many rows
// leaves it out, and a request for that very row gets [ErrDamaged]; the log names the
// row once, and not at each reading. Its method may be called concurrently, also on
// nil, which logs nothing.
type Damage struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]struct{}
}

// NewDamage makes a log of damage; nil: nothing is logged.
func NewDamage(log *slog.Logger) *Damage {
	if log == nil {
		return nil
	}
	return &Damage{log: log, told: map[string]struct{}{}}
}

// Found logs that a row cannot be read, and why. The row is named so that an operator
// finds it: the table's noun and the key, never its content.
func (l *Damage) Found(ctx context.Context, row string, err error) {
	if l != nil && l.isNew(row) {
		l.log.ErrorContext(ctx, "a row of the database is damaged; it is left out", "row", row, "error", err)
	}
}

func (l *Damage) isNew(row string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.told[row]; known {
		return false
	}
	if len(l.told) >= told {
		clear(l.told)
	}
	l.told[row] = struct{}{}
	return true
}
