package server

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/server/config"
)

// newLimits makes the limits of how often callers may do what; nil: they are switched off.
func newLimits(c config.RateLimits, shares *config.Caches) *ratelimit.Limits {
	if !c.Enabled {
		return nil
	}
	limits := map[ratelimit.Kind]ratelimit.Limit{}
	for name, rate := range c.All() {
		limits[ratelimit.Kind(name)] = ratelimit.Limit(rate)
	}
	return ratelimit.NewLimits(limits, time.Now, int(shares.RateLimits))
}

// newBounds returns the bounds of what may go on at once.
func newBounds(c config.Limits, budget config.Budget) httpapi.Bounds {
	return httpapi.Bounds{
		Requests: c.Requests, Polls: c.Polls, PollsPerUser: c.PollsPerUser, Transfers: c.Transfers,
		BodyBytes: int64(budget.RequestMemory), AnswerBytes: int64(budget.Answers),
	}
}
