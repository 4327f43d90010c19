package faults

import (
	"cmp"
	"net/http"
	"time"

	"homeserver/internal/matrix"
)

// Effect is what happens to a request: exactly one of these.
type Effect struct {
	// Status is that of an error, with the code and the text of its body, and the time to try
	// again.
	Status       int         `json:"status,omitempty"`
	Errcode      matrix.Code `json:"errcode,omitempty"`
	Error        string      `json:"error,omitempty"`
	RetryAfterMS int64       `json:"retry_after_ms,omitempty"`
	// DelayMS is for how long the request, or with After its answer, is held back.
	DelayMS *int64 `json:"delay_ms,omitempty"`
	// Drop closes the connection without an answer.
	Drop bool `json:"drop,omitempty"`
	// Truncate is how many bytes of the answer's body arrive before the connection is closed. The
	// last byte never does.
	Truncate *int64 `json:"truncate,omitempty"`
	// StaleSince is the token that stands instead of the one of a /sync; "": there is none.
	StaleSince *string `json:"stale_since,omitempty"`
	// RepeatSync has /sync answer with the token of the request as next_batch, so that the client
	// gets the same again.
	RepeatSync bool `json:"repeat_sync,omitempty"`
	// SoftLogout refuses the access token as one that has to be refreshed.
	SoftLogout bool `json:"soft_logout,omitempty"`
}

// The most that an effect may ask for.
const (
	maxRetryAfter = 24 * time.Hour
	maxDelay      = 10 * time.Minute
)

// ofSync reports whether the effect is one on the tokens of /sync.
func (e *Effect) ofSync() bool { return e.StaleSince != nil || e.RepeatSync }

// count returns how many effects are asked for.
func (e *Effect) count() (n int) {
	for _, there := range []bool{
		e.Status != 0, e.DelayMS != nil, e.Drop, e.Truncate != nil, e.StaleSince != nil, e.RepeatSync, e.SoftLogout,
	} {
		if there {
			n++
		}
	}
	return n
}

func (e *Effect) check() error {
	switch n := e.count(); {
	case n == 0:
		return matrix.Errorf(matrix.MissingParam,
			"what is to happen is missing: one of status, delay_ms, drop, truncate, stale_since, repeat_sync and soft_logout")
	case n > 1:
		return matrix.Errorf(matrix.InvalidParam,
			"only one of status, delay_ms, drop, truncate, stale_since, repeat_sync and soft_logout may be there: make a fault of each")
	case e.Status != 0 && (e.Status < http.StatusBadRequest || e.Status > 599):
		return matrix.Errorf(matrix.InvalidParam, "status must be that of an error, 400 to 599")
	case e.Status == 0 && (e.Errcode != "" || e.Error != "" || e.RetryAfterMS != 0):
		return matrix.Errorf(matrix.InvalidParam, "errcode, error and retry_after_ms belong to a status, which is missing")
	case e.RetryAfterMS < 0 || e.RetryAfterMS > maxRetryAfter.Milliseconds():
		return matrix.Errorf(matrix.InvalidParam, "retry_after_ms must be from 0 to %d", maxRetryAfter.Milliseconds())
	case e.DelayMS != nil && (*e.DelayMS < 1 || *e.DelayMS > maxDelay.Milliseconds()):
		return matrix.Errorf(matrix.InvalidParam, "delay_ms must be from 1 to %d", maxDelay.Milliseconds())
	case e.Truncate != nil && *e.Truncate < 0:
		return matrix.Errorf(matrix.InvalidParam, "truncate must be a number of bytes, 0 or more")
	}
	return nil
}

// refusal returns the error that the client gets; nil: the effect is another.
func (e *Effect) refusal() *matrix.Error {
	const text = "A fault that the test has asked for"
	switch {
	case e.SoftLogout:
		return &matrix.Error{Code: matrix.UnknownToken, Message: text, Fields: map[string]any{"soft_logout": true}}
	case e.Status == 0:
		return nil
	}
	code := matrix.Unknown
	if e.Status == http.StatusTooManyRequests {
		code = matrix.LimitExceeded
	}
	return &matrix.Error{
		Code: cmp.Or(e.Errcode, code), Message: cmp.Or(e.Error, text), Status: e.Status,
		RetryAfter: time.Duration(e.RetryAfterMS) * time.Millisecond,
	}
}
