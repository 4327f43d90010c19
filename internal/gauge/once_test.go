package gauge_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/singleflight"

	"homeserver/internal/gauge"
)

// A caller that asked for the same thumbnail as another, whose turn did not come, was once
// refused as well.
func TestTheRefusalOfOneWasThatOfAllWhoWaitedWithHim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var group singleflight.Group
		refuse, waited := make(chan struct{}), make(chan error, 1)
		go func() {
			_, _ = gauge.Once(t.Context(), &group, "key", func() (any, error) {
				<-refuse
				return nil, gauge.Refuse(errors.New("too much"))
			})
		}()
		synctest.Wait()
		go func() {
			_, err := gauge.Once(t.Context(), &group, "key", func() (any, error) { return "made", nil })
			waited <- err
		}()
		synctest.Wait()
		close(refuse)
		if err := <-waited; err != nil {
			t.Errorf("got %v", err)
		}
	})
}
