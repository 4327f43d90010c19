package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"homeserver/internal/auth"
	"homeserver/internal/server/config"
)

// BenchmarkVersions is the processor time of a request for an endpoint that does
// nothing, over real HTTP: to a whole server, with all that it promises, and beside it to
// a bare handler of net/http that answers the same bytes. DESIGN allows half as much
// again.
func BenchmarkVersions(b *testing.B) {
	benchmarkBesideBare(b, startForBenchmark(b), "/_matrix/client/versions", "")
}

// BenchmarkWhoami is the same with an access token, which is all that the endpoint looks at.
func BenchmarkWhoami(b *testing.B) {
	s := startForBenchmark(b, auth.NewAccount{Username: "alice", Password: "password"})
	benchmarkBesideBare(b, s, "/_matrix/client/v3/account/whoami", clientAt(b, s, 0).Login("alice", "password").Token)
}

// startForBenchmark starts a server that logs into a file.
func startForBenchmark(b *testing.B, accounts ...auth.NewAccount) *Server {
	b.Helper()
	cfg := testConfig(b)
	cfg.Listen = []config.Listener{{Address: "127.0.0.1:0"}}
	cfg.RateLimits.Enabled = true
	cfg.RateLimits.Requests = config.Rate{PerSecond: 1e9, Burst: 1e9}
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := Start(b.Context(), cfg, slog.New(slog.NewTextHandler(NewLogWriter(file), nil)), Accounts(accounts...))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { shutDown(b, s) })
	return s
}

// benchmarkBesideBare asks a server and a bare handler by turns, since the machine has
// other things to do, too.
func benchmarkBesideBare(b *testing.B, s *Server, path, token string) {
	b.Helper()
	c := clientAt(b, s, 0)
	c.Token = token
	body := c.Do("GET", path, nil).OK().Body
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
	b.Cleanup(bare.Close)
	request := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
	if token != "" {
		request += "Authorization: Bearer " + token + "\r\n"
	}
	request += "\r\n"
	var own, least time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		least += processorTime(b, bare.Listener.Addr().String(), []byte(request), body)
		own += processorTime(b, s.Addresses()[0].Address, []byte(request), body)
	}
	requests := (b.N + batch - 1) / batch * batch
	b.ReportMetric(float64(own.Nanoseconds())/1e3/float64(requests), "µs/request")
	b.ReportMetric(float64(least.Nanoseconds())/1e3/float64(requests), "µs/bare-request")
	b.ReportMetric(float64(own)/float64(least), "times-bare")
}

const (
	clients = 4
	batch   = 500 * clients
)

// processorTime returns the processor time of this process for a batch of requests, without its clients,
// whose threads do nothing else.
func processorTime(b *testing.B, address string, request, body []byte) time.Duration {
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	var theirs atomic.Int64
	before := used(unix.RUSAGE_SELF)
	for range clients {
		all.Go(func() {
			runtime.LockOSThread() // for ever: the thread ends with the client
			begin := used(unix.RUSAGE_THREAD)
			if err := askOften(to, request, body, batch/clients); err != nil {
				b.Error(err)
			}
			theirs.Add(int64(used(unix.RUSAGE_THREAD) - begin))
		})
	}
	all.Wait()
	return used(unix.RUSAGE_SELF) - before - time.Duration(theirs.Load())
}

// askOften sends requests over one connection, by system calls that block.
func askOften(to *net.TCPAddr, request, body []byte, times int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // the test is over
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		return err
	}
	answer := make([]byte, 64<<10)
	for range times {
		if _, err := unix.Write(fd, request); err != nil {
			return err
		}
		n := 0
		for !bytes.HasSuffix(answer[:n], body) {
			more, err := unix.Read(fd, answer[n:])
			if err != nil || more == 0 {
				return fmt.Errorf("%d bytes: %w: %s", n, err, answer[:n])
			}
			n += more
		}
	}
	return nil
}

// used returns the processor time that a thread, or the whole process, has had.
func used(who int) time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(who, &usage) // it has no way to fail
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
