package control

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// maxAdvance is how far the clock is moved at once.
const maxAdvance = 10 * 365 * 24 * time.Hour

func (e *endpoints) showClock(*httpapi.Request) (any, error) {
	return map[string]time.Time{"now": e.Clock.Now().UTC()}, nil
}

// moveClock moves the clock of the server forward: by a time, or to one.
func (e *endpoints) moveClock(r *httpapi.Request) (any, error) {
	var body struct {
		AdvanceMS *int64 `json:"advance_ms"`
		Set       string `json:"set"`
	}
	if err := r.DecodeStrictly(&body); err != nil {
		return nil, err
	}
	var ahead time.Duration
	switch {
	case (body.AdvanceMS == nil) == (body.Set == ""):
		return nil, matrix.Errorf(matrix.MissingParam, "either advance_ms or set must be there")
	case body.AdvanceMS != nil:
		if *body.AdvanceMS < 0 || *body.AdvanceMS > maxAdvance.Milliseconds() {
			return nil, matrix.Errorf(matrix.InvalidParam, "advance_ms must be from 0 to %d: the clock goes forward only", maxAdvance.Milliseconds())
		}
		ahead = time.Duration(*body.AdvanceMS) * time.Millisecond
	default:
		to, err := time.Parse(time.RFC3339, body.Set)
		if err != nil {
			return nil, matrix.Errorf(matrix.InvalidParam, "set must be a time such as 2030-01-31T12:00:00Z")
		}
		if ahead = to.Sub(e.Clock.Now()); ahead < 0 || ahead > maxAdvance {
			return nil, matrix.Errorf(matrix.InvalidParam, "set must be later than now, which is %s, and at most ten years", e.Clock.Now().UTC().Format(time.RFC3339))
		}
	}
	e.Clock.Advance(ahead)
	return e.showClock(r)
}
