package httpapi

import (
	"strings"
	"testing"
	"time"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// Clients ask every few seconds whether the user has opened the mail.
func TestWaitingForAMailIsForgiven(t *testing.T) {
	t.Parallel()
	x := &exchange{}
	limits := oneOf(ratelimit.Registration)
	for range 3 {
		var err error
		if x.counted, err = limits.Take(ratelimit.Registration, "a"); err != nil {
			t.Fatal(err)
		}
		x.forgive(matrix.Errorf(matrix.ThreepidAuthFailed, "The address has not been confirmed"))
	}
	if x.counted, _ = limits.Take(ratelimit.Registration, "a"); x.counted == nil {
		t.Fatal("the attempt was counted")
	}
	x.forgive(ErrGuest)
	if _, err := limits.Take(ratelimit.Registration, "a"); err == nil {
		t.Error("any other error is forgiven, too")
	}
}

func TestALimitedRequestIsCountedInTheMetrics(t *testing.T) {
	t.Parallel()
	limits := oneOf(ratelimit.Reports)
	b := newBench(t, Options{Limits: limits})
	b.registry.MustRegister(limits.Collectors()...)
	rt := get("/it", func(*Request) (any, error) { return Empty{}, nil })
	rt.Work = Reporting
	c := b.serve(t, rt)
	c.Do("GET", "/it", nil).OK()
	c.Do("GET", "/it", nil).Refused(429, "M_LIMIT_EXCEEDED")
	if text, want := b.scrape(t), `homeserver_rate_limited_total{kind="reports"} 1`; !strings.Contains(text, want) {
		t.Errorf("the metrics lack %s", want)
	}
}

// oneOf allows one of a kind of work and then none for a long time, and as much as
// anybody likes of all others.
func oneOf(kind ratelimit.Kind) *ratelimit.Limits {
	return ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{kind: {PerSecond: 1e-6, Burst: 1}}, time.Now, 0)
}
