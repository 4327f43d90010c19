package gauge

import (
	"context"
	"errors"

	"golang.org/x/sync/singleflight"

	"homeserver/internal/matrix"
)

// Refusal is an error for one caller and not for others: the caller asked for too much, or
// its turn did not come in time.
type Refusal struct{ error }

// Refuse makes a refusal of an error.
func Refuse(err error) Refusal { return Refusal{err} }

// RefuseTurn returns the refusal for a caller whom [Gauge.Enter] has not let in: its error,
// or that it is busy, if the turn has not come in time.
func RefuseTurn(err error, busy *matrix.Error) Refusal {
	if _, ok := errors.AsType[*matrix.Error](err); ok {
		return Refusal{err}
	}
	return Refusal{busy}
}

// Unwrap returns the error that is answered.
func (r Refusal) Unwrap() error { return r.error }

// Once does something once for all callers that want it at the moment. If the caller that
// does it is refused, the others try themselves: else a caller that has asked for too much
// would keep all others from what it asks for.
func Once(ctx context.Context, group *singleflight.Group, key string, do func() (any, error)) (any, error) {
	for {
		own := false
		made, err, _ := group.Do(key, func() (any, error) {
			own = true
			return do()
		})
		if _, refused := errors.AsType[Refusal](err); own || !refused || ctx.Err() != nil {
			return made, err
		}
	}
}
