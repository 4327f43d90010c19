package faults

import (
	"cmp"
	"net/http"
	"time"

	"homeserver/internal/devkit/filter"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// Rule is a fault as it is asked for: the requests that it meets, and one thing that happens to
// them.
type Rule struct {
	filter.Filter
	// Times is how many requests it meets; 0: until it is taken back. Skip is how many pass
	// before the first.
	Times int `json:"times,omitempty"`
	Skip  int `json:"skip,omitempty"`
	// After has the request served first: only its answer is lost.
	After bool `json:"after,omitempty"`

	// Status is that of an error, with the code and the text of its body, and the time to try
	// again.
	Status       int         `json:"status,omitempty"`
	Errcode      matrix.Code `json:"errcode,omitempty"`
	Error        string      `json:"error,omitempty"`
	RetryAfterMS int64       `json:"retry_after_ms,omitempty"`
}

// The most that a rule may ask for.
const (
	maxTimes      = 1_000_000
	maxRetryAfter = 24 * time.Hour
)

// Check refuses a rule that makes no sense: M_INVALID_PARAM, M_MISSING_PARAM.
func (r *Rule) Check(endpoints *httpapi.Endpoints) error {
	if err := r.Filter.Check(endpoints); err != nil {
		return err
	}
	switch {
	case r.Times < 0 || r.Times > maxTimes:
		return matrix.Errorf(matrix.InvalidParam, "times must be a number of requests, 0 for all until the fault is taken back, at most %d", maxTimes)
	case r.Skip < 0 || r.Skip > maxTimes:
		return matrix.Errorf(matrix.InvalidParam, "skip must be a number of requests, at most %d", maxTimes)
	case r.Status == 0:
		return matrix.Errorf(matrix.MissingParam, "status is missing: what is to happen to the requests")
	case r.Status < http.StatusBadRequest || r.Status > 599:
		return matrix.Errorf(matrix.InvalidParam, "status must be that of an error, 400 to 599")
	case r.RetryAfterMS < 0 || r.RetryAfterMS > maxRetryAfter.Milliseconds():
		return matrix.Errorf(matrix.InvalidParam, "retry_after_ms must be from 0 to %d", maxRetryAfter.Milliseconds())
	}
	return nil
}

// refusal returns the error that the rule asks for.
func (r *Rule) refusal() *matrix.Error {
	code := matrix.Unknown
	if r.Status == http.StatusTooManyRequests {
		code = matrix.LimitExceeded
	}
	return &matrix.Error{
		Code: cmp.Or(r.Errcode, code), Message: cmp.Or(r.Error, "A fault that the test has asked for"), Status: r.Status,
		RetryAfter: time.Duration(r.RetryAfterMS) * time.Millisecond,
	}
}
