package auth

import (
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/ratelimit"
)

func TestLimitsCanBeDisabled(t *testing.T) {
	t.Parallel()
	none := newLimits(RateLimits{Disabled: true, Login: ratelimit.Limit{PerSecond: 1, Burst: 1}}, time.Now)
	if none != (limits{}) {
		t.Errorf("got %+v, want no limiter at all", none)
	}
}

func TestLimitsHaveDefaults(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1000, 0)}
	some := newLimits(RateLimits{Login: ratelimit.Limit{PerSecond: 1, Burst: 2}}, c.Now)
	for name, test := range map[string]struct {
		limiter *ratelimit.Limiter
		burst   int
	}{
		"given":       {some.login, 2},
		"by default":  {some.registration, DefaultRateLimits().Registration.Burst},
		"login token": {some.loginToken, DefaultRateLimits().LoginToken.Burst},
	} {
		for i := range test.burst {
			if _, err := test.limiter.Take("a"); err != nil {
				t.Errorf("%s: number %d: %v", name, i, err)
			}
		}
		_, err := test.limiter.Take("a")
		wantCode(t, err, matrix.LimitExceeded)
	}
}
