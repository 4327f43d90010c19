package httpapi

import (
	"strings"
	"testing"

	"homeserver/internal/reserve"
)

// TestLargeBodies sends bodies to an endpoint that takes large ones and to one that does not.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	length := func(r *Request) (any, error) {
		var body struct {
			List []int `json:"list"`
		}
		err := r.Decode(&body)
		return map[string]int64{"length": int64(len(body.List)), "used": reserve.Used(r.Context())}, err
	}
	post := func(path string) Route {
		return Route{Method: "POST", Path: path, Work: Storing, Handler: Public(length)}
	}
	large := post("/large")
	large.Handler = LargeBody(large.Handler)
	c := newBench(t, Options{MaxBodyBytes: 100_000}).serve(t, post("/usual"), large)
	list := func(n int) string { return `{"list":[1` + strings.Repeat(",1", n-1) + `]}` }

	c.Do("POST", "/usual", list(45_000)).OK()
	for _, n := range []int{10, 190_000} {
		body := list(n)
		answer := c.Do("POST", "/large", body).OK()
		if got := answer.At("length"); got != float64(n) {
			t.Errorf("%v elements have come of %d", got, n)
		}
		if counts := answer.At("used") == float64(len(body)); counts != (len(body) > 100_000) {
			t.Errorf("of a body of %d bytes %v are counted once more", len(body), answer.At("used"))
		}
	}
	if got := c.Do("POST", "/large", strings.ReplaceAll(list(50_000), "1", "1.0")).OK().At("length"); got != 50_000.0 {
		t.Errorf("of integers that are written as fractions %v have come", got)
	}
	c.Do("POST", "/usual", list(60_000)).Refused(413, "M_TOO_LARGE")                                  // bytes
	c.Do("POST", "/large", list(200_001)).Refused(413, "M_TOO_LARGE")                                 // values
	c.Do("POST", "/large", `{"text":"`+strings.Repeat("x", 16<<20)+`"}`).Refused(413, "M_TOO_LARGE")  // bytes
	c.Do("POST", "/large", `{"text":"`+strings.Repeat("x", 15<<20)+`"}`).OK()                         // one value
	c.Do("POST", "/large", `{"list":[1`+strings.Repeat(",1", 200_001)+`]`).Refused(400, "M_NOT_JSON") // it ends too early
}
