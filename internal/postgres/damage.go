package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// ErrDamaged is wrapped by the error of who cannot go on without a damaged row.
var ErrDamaged = errors.New("damaged in the database")

// told is how many rows are remembered as told of. Beyond that the log repeats
// itself, which it then has reason to.
const told = 1000

// Damage tells of rows of the database that cannot be read: changed by a disk, by hand,
// or by a mistake of an older version. Such a row fails alone. Who reads many rows
// leaves it out, and whoever asks for that very thing gets [ErrDamaged]; the log tells
// which row it is, once, and not at each reading. Its method may be called concurrently, also on nil,
// which tells nobody.
type Damage struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]struct{}
}

// NewDamage makes a log of damage; nil: nobody is told.
func NewDamage(log *slog.Logger) *Damage {
	if log == nil {
		return nil
	}
	return &Damage{log: log, told: map[string]struct{}{}}
}

// Found tells that a row cannot be read, and why. The row is named so that an
// operator finds it: the table's noun and the key, never what stands in it.
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
