package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/matrixtest"
)

// resident returns how many bytes of memory the server takes, and mostResident how many it
// has taken at most.
func (d *daemon) resident(t *testing.T) int64     { return d.memory(t, "VmRSS:") }
func (d *daemon) mostResident(t *testing.T) int64 { return d.memory(t, "VmHWM:") }

// memory reads a line of the system's figures of the server's memory.
func (d *daemon) memory(t *testing.T, line string) int64 {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", d.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == line {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the system does not tell how much memory a process takes")
	return 0
}

// wantMemory fails the test if the server has grown by more than so many bytes.
func (d *daemon) wantMemory(t *testing.T, before, most int64) {
	t.Helper()
	grown := d.resident(t) - before
	t.Logf("%d MiB before, and %d MiB more with the clients", before>>20, grown>>20)
	if grown > most {
		t.Errorf("the server has grown by %d MiB, more than %d", grown>>20, most>>20)
	}
}

// tactless opens connections that say something and then read nothing, or hardly anything.
func (d *daemon) tactless(t *testing.T, connections int, says string) []net.Conn {
	t.Helper()
	address := strings.TrimPrefix(d.http, "http://")
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		for _, conn := range open {
			_ = conn.Close() // the server may have done so
		}
	})
	var dialing errgroup.Group
	dialing.SetLimit(64)
	for range connections {
		dialing.Go(func() error {
			dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) {
					_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) // larger ones do as well
				})
			}}
			conn, err := dialer.DialContext(t.Context(), "tcp", address)
			if err != nil {
				return err
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			_, err = io.WriteString(conn, says)
			return err
		})
	}
	if err := dialing.Wait(); err != nil {
		t.Fatal(err)
	}
	return open
}

// others fails the test unless everybody else is served.
func others(t *testing.T, alice, bob *matrixtest.Client, room string) {
	t.Helper()
	since := bob.Sync("").NextBatch()
	waiting := poll(bob, since)
	sent := alice.SendText(room, "still served")
	if answer := (<-waiting).OK(); !matrixtest.Shows(room, sent)(answer) {
		t.Errorf("the poll does not show the message: %s", answer.Body)
	}
	history(bob, room)
	alice.As(t).Do(http.MethodGet, "/account/whoami", nil).OK()
}

// crowd is a server with two users who want to be served while others are rude.
type crowd struct {
	*daemon
	alice, bob *matrixtest.Client
	room       string
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	d := serveFrom(t, dataFolder(t), "HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_METRICS_LISTEN=localhost:0", "HOMESERVER_LOG_LEVEL=warn")
	c := &crowd{daemon: d}
	anyone := d.client(t)
	c.alice, c.bob = anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	c.room = c.alice.CreateRoom(map[string]any{"preset": "public_chat"})
	c.bob.Join(c.room)
	others(t, c.alice, c.bob, c.room)
	return c
}

// ask returns the text of a request of alice's.
func (c *crowd) ask(method, path string, headers ...string) string {
	return method + " /_matrix/client/v3" + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + c.alice.Token + "\r\n" +
		strings.Join(append(headers, "\r\n"), "\r\n")
}

func TestAnswersThatNobodyReads(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	c := newCrowd(t)
	const messages, readers = 200, 20
	for n := range messages { // 8 MB, which is more than what the system takes on the way
		c.alice.SendText(c.room, largeText(n))
	}
	before := c.resident(t)
	path := "/rooms/" + c.room + "/messages?dir=b&limit=1000"
	for range readers {
		conn := c.tactless(t, 1, c.ask(http.MethodGet, path))[0]
		if _, err := conn.Read(make([]byte, 1)); err != nil { // the answer has begun, or was refused
			t.Fatal(err)
		}
	}
	others(t, c.alice, c.bob, c.room)
	c.wantMemory(t, before, 200<<20)
}

func TestLongPollsThatNobodyReads(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	c := newCrowd(t)
	const polls = 100
	since := c.alice.Sync("").NextBatch()
	c.tactless(t, polls, c.ask(http.MethodGet, "/sync?timeout=600000&since="+since))
	c.untilWaiting(t, polls)
	before := c.resident(t)
	for n := range 20 {
		c.bob.SendText(c.room, largeText(n))
	}
	others(t, c.alice, c.bob, c.room)
	c.wantMemory(t, before, 100<<20)
}

func TestBodiesThatStopHalfway(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	c := newCrowd(t)
	const bodies = 1000
	before := c.resident(t)
	open := c.tactless(t, bodies, c.ask(http.MethodPut, "/rooms/"+c.room+"/send/m.room.message/1", "Content-Length: 60000")+`{"body":"`)
	c.untilWaiting(t, bodies)
	others(t, c.alice, c.bob, c.room)
	c.wantMemory(t, before, 200<<20)
	for _, conn := range open[:bodies/2] {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	matrixtest.Until(t, "those who went away are forgotten", func() bool { return c.inFlight(t) <= bodies/2 })
}

func TestFiveThousandConnections(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const connections, files = 5000, 5500
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < files {
		t.Skipf("a process may open only %d files here, %v", limit.Max, err)
	}
	c := newCrowd(t)
	before := c.resident(t)
	for _, says := range []string{"", "GET /_matrix/client/versions HTTP/1.1\r\nHost: loc"} {
		c.tactless(t, connections/2, says)
		others(t, c.alice, c.bob, c.room)
	}
	c.wantMemory(t, before, 200<<20)
}
