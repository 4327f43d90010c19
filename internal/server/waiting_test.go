package server

import (
	"bytes"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
)

// It looks at the memory of the whole process, so no other test runs beside it. A stack is halved by the garbage collector
// only while less than a quarter of it is used: the frames beneath the wait once needed 16 KiB, and now 8.
func TestAWaitingSyncTakesLittleMemory(t *testing.T) {
	matrixtest.Long(t)
	if info, _ := debug.ReadBuildInfo(); info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector takes many times the memory")
	}
	s := mustStart(t, testConfig(t))
	if _, err := s.services.auth.CreateAccount(t.Context(), auth.NewAccount{Username: "alice", Password: "password"}); err != nil {
		t.Fatal(err)
	}
	c := clientAt(t, s, 0).Login("alice", "password")
	c.CreateRoom(nil)
	path := matrixtest.SyncPath(c.Sync("").NextBatch(), "timeout", "300000", "set_presence", "offline")
	request := fmt.Appendf(nil, "GET /_matrix/client/v3%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", path, c.Token)

	const requests, most = 150, 32 << 10 // with the socket of the client
	before := inUse()
	for range requests {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addresses()[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // it has served its purpose
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	matrixtest.Until(t, "all wait", func() bool {
		page := httptest.NewRecorder()
		s.api.MetricsHandler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		return bytes.Contains(page.Body.Bytes(), fmt.Appendf(nil, "\nhomeserver_sync_waiting %d\n", requests))
	})
	if each := (inUse() - before) / requests; each > most {
		t.Errorf("each takes %d bytes, want %d at most", each, most)
	}
}

// inUse returns the bytes of all objects and stacks, without garbage. A stack becomes smaller with each collection.
func inUse() int {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
