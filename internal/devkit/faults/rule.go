package faults

import (
	"slices"

	"homeserver/internal/devkit/filter"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// Rule is a fault as it is asked for: the requests that it meets, and one [Effect].
type Rule struct {
	filter.Filter
	// Times is how many requests it meets; 0: until it is taken back. Skip is how many pass
	// before the first.
	Times int `json:"times,omitempty"`
	Skip  int `json:"skip,omitempty"`
	// After has the request served first: only its answer is lost.
	After bool `json:"after,omitempty"`
	Effect
}

// maxTimes is the most requests that a rule may count.
const maxTimes = 1_000_000

// Check refuses a rule that makes no sense: M_INVALID_PARAM, M_MISSING_PARAM.
func (r *Rule) Check(endpoints *httpapi.Endpoints) error {
	if err := r.Filter.Check(endpoints); err != nil {
		return err
	}
	switch {
	case r.Times < 0 || r.Times > maxTimes:
		return matrix.Errorf(matrix.InvalidParam, "times must be a number of requests, at most %d; 0: all until the fault is taken back", maxTimes)
	case r.Skip < 0 || r.Skip > maxTimes:
		return matrix.Errorf(matrix.InvalidParam, "skip must be a number of requests, at most %d", maxTimes)
	case r.ofSync() && r.Route != "" && !slices.Contains(syncRoutes, r.Route):
		return matrix.Errorf(matrix.InvalidParam, "route must be %s, or missing: there are no other answers with next_batch", syncPath)
	}
	return r.Effect.check()
}

// picks reports whether the rule is for the request.
func (r *Rule) picks(request *filter.Request) bool {
	if r.ofSync() && (request.Identity.Path != syncPath || r.RepeatSync && request.Since == "") {
		return false
	}
	return r.Filter.Picks(request)
}

// syncPath is the endpoint that has since and next_batch.
const syncPath = "/sync"

// syncRoutes are the routes by which it is named.
var syncRoutes = []string{"*", syncPath, "/_matrix/client/v3/sync", "/_matrix/client/r0/sync", "/_matrix/client/v2_alpha/sync", "/_matrix/client/api/v2_alpha/sync"}
