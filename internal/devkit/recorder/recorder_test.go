package recorder

import (
	"strings"
	"testing"
	"time"

	"homeserver/internal/devkit/filter"
)

// request returns a request whose body has so many bytes.
func request(bytes int) Request {
	r := New(&filter.Request{Method: "PUT", Path: "/_matrix/client/v3/sendToDevice/m.x/1"}, time.Now())
	r.SetBody([]byte(`"`+strings.Repeat("x", bytes-2)+`"`), false)
	return r
}

func TestTheNewestRequestsAreKeptWithinTheBound(t *testing.T) {
	t.Parallel()
	for name, bytes := range map[string]int{"small": 2, "of the largest size": MaxBodyBytes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder := NewRecorder()
			one := request(bytes)
			fit := maxBytes / one.bytes()
			for range fit {
				recorder.Add(one)
			}
			kept, newest := recorder.Find(&filter.Filter{}, 0)
			if len(kept) != fit || kept[0].N != 1 || newest != int64(fit) {
				t.Fatalf("%d of %d requests are kept, the newest is %d", len(kept), fit, newest)
			}
			const more = 10
			for range more {
				recorder.Add(one)
			}
			kept, newest = recorder.Find(&filter.Filter{}, 0)
			if len(kept) != fit || kept[0].N != more+1 || kept[fit-1].N != newest || newest != int64(fit+more) {
				t.Errorf("%d requests are kept, from %d to %d", len(kept), kept[0].N, newest)
			}
			var total int
			for i := range kept {
				total += len(kept[i].Body)
			}
			if total > maxBytes || recorder.bytes > maxBytes {
				t.Errorf("%d bytes are kept, counted as %d", total, recorder.bytes)
			}
			recorder.Clear()
			recorder.Add(one)
			if kept, _ = recorder.Find(&filter.Filter{}, 0); len(kept) != 1 || kept[0].N != newest+1 || recorder.bytes != one.bytes() {
				t.Errorf("after they were cleared there are %d, of %d bytes", len(kept), recorder.bytes)
			}
		})
	}
}
