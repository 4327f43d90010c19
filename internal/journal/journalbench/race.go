package journalbench

import (
	"context"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
)

// Open starts a durable PostgreSQL on disk, which is gone when the benchmark
// ends, and returns a pool on a migrated database in it.
func Open(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	dir, err := os.MkdirTemp("", "homeserver-bench-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove the cluster: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL's own user enters it
		tb.Fatal(err)
	}
	cluster, err := cluster.Start(tb.Context(), cluster.Options{Dir: dir, Durable: true})
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if err := cluster.Stop(context.Background()); err != nil {
			tb.Errorf("stop PostgreSQL: %v", err)
		}
	})
	pool, err := postgres.Open(tb.Context(), postgres.Options{URL: cluster.URL("homeserver")})
	if err != nil {
		tb.Fatalf("open the database: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// Runner does its part i for one of the senders.
type Runner func(sender, i int) error

// laps is how often the two take turns, so that neither has the better moment.
const laps = 4

// Race runs two things by turns, b.N parts of each, with so many senders. It reports the
// rates of both in parts per second, and their ratio; also the ratio of the median
// latencies, which says more where there is one sender. The benchmark's own time is that
// of the first.
func Race(b *testing.B, senders int, measured, yardstick Runner) {
	b.Helper()
	var m, y result
	lap := max(b.N/laps, 1)
	b.StopTimer()
	for done := 0; done < b.N; done += lap {
		n := min(lap, b.N-done)
		y.add(run(b, senders, n, yardstick))
		b.StartTimer()
		m.add(run(b, senders, n, measured))
		b.StopTimer()
	}
	b.ReportMetric(m.rate(), "events/s")
	b.ReportMetric(y.rate(), "bare-events/s")
	b.ReportMetric(m.rate()/y.rate(), "rate-ratio")
	b.ReportMetric(m.median().Seconds()*1000, "median-ms")
	b.ReportMetric(m.median().Seconds()/y.median().Seconds(), "median-ratio")
}

type result struct {
	took      time.Duration
	latencies []time.Duration
}

func (r *result) add(other result) {
	r.took += other.took
	r.latencies = append(r.latencies, other.latencies...)
}

func (r *result) rate() float64 { return float64(len(r.latencies)) / r.took.Seconds() }

func (r *result) median() time.Duration {
	slices.Sort(r.latencies)
	return r.latencies[len(r.latencies)/2]
}

func run(b *testing.B, senders, n int, part Runner) result {
	b.Helper()
	latencies := make([]time.Duration, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	started := time.Now()
	for sender := range senders {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				begin := time.Now()
				if err := part(sender, i); err != nil {
					b.Error(err)
					return
				}
				latencies[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	return result{time.Since(started), latencies}
}
