package transactions

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"homeserver/internal/appservice/registration"
)

// BenchmarkSend sends messages by 16 senders, and reports the processor time of this process for
// each, with the work that follows: without a service, with one that nothing concerns, and with
// one that everything concerns, whose answers are among the work.
func BenchmarkSend(b *testing.B) {
	taken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{}")
	}))
	b.Cleanup(taken.Close)
	for name, lines := range map[string][]string{
		"none": nil, "another": {"namespaces:", `  users: [{exclusive: true, regex: "@_irc_.*"}]`},
		"everything": {"namespaces:", `  users: [{exclusive: false, regex: ".*"}]`, `  rooms: [{exclusive: false, regex: ".*"}]`},
	} {
		b.Run(name, func(b *testing.B) {
			var services []*registration.Registration
			if lines != nil {
				services = append(services, register(b, "irc", taken.URL, lines...))
			}
			h := start(b, nil, services)
			list := make([]string, 16)
			for i := range list {
				list[i] = h.Public(bob, carol)
			}
			before, began := processor(b), time.Now()
			b.ResetTimer()
			var sending sync.WaitGroup
			for i, room := range list {
				sending.Go(func() {
					for n := i; n < b.N; n += len(list) {
						h.Send(alice, room, fmt.Sprint("message ", n))
					}
				})
			}
			sending.Wait()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
			if services != nil {
				h.looked("irc")
			}
			b.ReportMetric(float64((processor(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// processor is the processor time that this process has taken so far.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
