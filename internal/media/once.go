package media

import (
	"context"
	"errors"

	"golang.org/x/sync/singleflight"
)

// refusal is an error that one caller has earned, and others have not: too much was
// asked for, or the caller's turn did not come in time.
type refusal struct{ error }

// Unwrap returns the error that is answered.
func (r refusal) Unwrap() error { return r.error }

// once does something once for all callers that want it at the moment. If the caller
// who does it is refused, the others try themselves: otherwise a caller over its limits
// would spoil the request of all.
func once(ctx context.Context, group *singleflight.Group, key string, do func() (any, error)) (any, error) {
	for {
		own := false
		made, err, _ := group.Do(key, func() (any, error) {
			own = true
			return do()
		})
		if _, refused := errors.AsType[refusal](err); own || !refused || ctx.Err() != nil {
			return made, err
		}
	}
}
