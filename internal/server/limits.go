package server

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/server/config"
)

// newLimits makes the limits of how often callers may do what. Where the configuration has them
// switched off there are none: nil, or, if that may change, some that are off.
func newLimits(c config.RateLimits, shares *config.Caches, hooks hooks) *ratelimit.Limits {
	if !c.Enabled && hooks.wrap == nil {
		return nil
	}
	limits := map[ratelimit.Kind]ratelimit.Limit{}
	for name, rate := range c.All() {
		limits[ratelimit.Kind(name)] = ratelimit.Limit(rate)
	}
	made := ratelimit.NewLimits(limits, hooks.clock.Now, int(shares.RateLimits))
	made.Switch(c.Enabled)
	return made
}

// newBounds returns the bounds of what may go on at once.
func newBounds(c config.Limits, budget config.Budget) httpapi.Bounds {
	return httpapi.Bounds{
		Requests: c.Requests, Polls: c.Polls, PollsPerUser: c.PollsPerUser, Transfers: c.Transfers,
		BodyBytes: int64(budget.RequestMemory), AnswerBytes: int64(budget.Answers),
	}
}
