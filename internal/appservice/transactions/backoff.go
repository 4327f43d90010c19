package transactions

import (
	"math/rand/v2"
	"time"
)

// backoff is how long a service that fails is left alone: at first and at most, how long
// after an attempt the next one comes if the service calls this server, and after which time
// what it was owed is given up.
type backoff struct{ first, most, sign, patience time.Duration }

var usualBackoff = backoff{first: time.Second, most: 5 * time.Minute, sign: 5 * time.Second, patience: 30 * 24 * time.Hour}

// after returns the delay after so many attempts in a row, which varies, so that not all
// come back at once.
func (b backoff) after(attempts int) time.Duration {
	delay := b.most
	if attempts < 20 {
		delay = min(b.first<<(attempts-1), b.most)
	}
	return delay - rand.N(delay/4+1) //nolint:gosec // nothing depends on its being unpredictable
}
