package httpapi

import (
	"strings"
	"testing"
)

// All lines that are logged while a request is answered have the ID of the request.
func TestLinesOfARequestCarryItsID(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	service := b.Engine.log.With("service", "cheese").WithGroup("shop")
	c := b.serve(t, get("/it", func(r *Request) (any, error) {
		service.InfoContext(r.Context(), "inside", "kind", "brie")
		return nil, errInternal
	}))
	id := c.Do("GET", "/it", nil).Refused(500, "M_UNKNOWN").Header.Get("X-Request-Id")
	b.Engine.log.InfoContext(t.Context(), "outside")
	b.log.Wait(t, "msg=outside")
	lines := 0
	for line := range strings.Lines(b.log.Wait(t, "msg=request ")) {
		inside := !strings.Contains(line, "msg=outside")
		if strings.Contains(line, "request_id="+id) != inside || strings.Count(line, "request_id") > 1 {
			t.Errorf("the request %s has the line: %s", id, line)
		}
		lines++
	}
	if log := b.log.Wait(t, "msg=inside"); lines != 4 || !strings.Contains(log, "service=cheese shop.kind=brie") {
		t.Errorf("%d lines, want inside, request refused, request and outside:\n%s", lines, log)
	}
}

func TestLinesOfRequestsCanBeLeftOutAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{NoRequestLines: true})
	c := b.serve(t, get("/it", func(r *Request) (any, error) {
		b.Engine.log.InfoContext(r.Context(), "inside", "number", r.URL.Query().Get("n"))
		return nil, errInternal
	}))
	// The first is over when the second begins: they come over one connection.
	for _, n := range []string{"1", "2"} {
		c.Do("GET", "/it?n="+n, nil).Refused(500, "M_UNKNOWN")
	}
	if log := b.log.Wait(t, "number=2"); strings.Contains(log, "msg=request ") || !strings.Contains(log, `msg="request refused"`) {
		t.Errorf("want the lines inside and request refused alone:\n%s", log)
	}
}
