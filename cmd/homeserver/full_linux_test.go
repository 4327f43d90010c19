package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"homeserver/internal/matrixtest"
)

// smallDisk makes a folder a disk of its own with so much space.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's user must enter it
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("only root may mount a disk that can be filled")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
}

// fillDisk takes all space that is left in a folder's file system, until the file that
// it returns is removed.
func fillDisk(t *testing.T, dir string) (ballast string) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "ballast")) //nolint:gosec // in a folder of the test
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err = file.Write(bytes.Repeat([]byte{1}, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	_ = file.Close() // it is full
	return file.Name()
}

// tooMany is how many messages, or pieces of a log, are more than any of the small disks holds.
const tooMany = 1000

// largeText returns the text of a message that takes several pages of a table; it cannot be
// compressed.
func largeText(n int) string {
	var text strings.Builder
	for i := 0; text.Len() < 40_000; i++ {
		text.WriteString(strconv.FormatUint(uint64(n*1_000_003+i)*0x9e3779b97f4a7c15, 36)) //nolint:gosec // any numbers will do
	}
	return text.String()
}

// sendLarge sends large messages until one is refused, and returns the IDs of the others.
func (s *starved) sendLarge() (acknowledged []string) {
	s.t.Helper()
	for n := range tooMany {
		answer := s.alice.Do(http.MethodPut, matrixtest.Path("rooms", s.room, "send", "m.room.message", "large "+strconv.Itoa(n)),
			map[string]any{"body": largeText(n)})
		if answer.Status != http.StatusOK {
			refusedForNow(s.t, answer)
			return acknowledged
		}
		acknowledged = append(acknowledged, answer.String("event_id"))
	}
	s.t.Fatal("the disk is full, and everything is taken all the same")
	return nil
}

// wantKept fails the test unless the room holds the messages, each once.
func (s *starved) wantKept(ids []string) {
	s.t.Helper()
	times := map[string]int{}
	for _, e := range history(s.alice, s.room) {
		times[e.ID]++
	}
	for _, id := range ids {
		if times[id] != 1 {
			s.t.Errorf("%s was acknowledged and is there %d times", id, times[id])
		}
	}
}

func TestDiskOfPostgreSQLIsFull(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	folder := dataFolder(t)
	smallDisk(t, folder, "224m")
	s := starveIn(t, folder, "")
	// The log of PostgreSQL has room for what follows; only tables cannot grow.
	// Files of the log that are used up are kept at a checkpoint, for later.
	for i := range 4 {
		execute(t, s.admin(), fmt.Sprintf(`CREATE TABLE warm%d AS SELECT 1`, i))
		execute(t, s.admin(), `SELECT pg_switch_wal()`)
	}
	execute(t, s.admin(), `CHECKPOINT`)

	ballast := fillDisk(t, folder)
	acknowledged := s.sendLarge()
	// Reads go on; but PostgreSQL may have to start its sessions again before.
	matrixtest.Until(t, "reads while the disk is full", func() bool {
		for _, path := range []string{matrixtest.Path("rooms", s.room, "messages") + "?dir=b", matrixtest.Path("rooms", s.room, "state"), "/sync"} {
			if s.alice.Do(http.MethodGet, path, nil).Status != http.StatusOK {
				return false
			}
		}
		return true
	})
	if !strings.Contains(s.stderr.String(), "No space left on device") {
		t.Errorf("the log does not say why:\n%s", s.stderr)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.wait()
	s.wantRecovery()
	s.wantKept(acknowledged)
	if code := s.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("code %d: %s", code, s.stderr)
	}
}

// Without space for its own log PostgreSQL ends, and cannot even start again.
func TestDiskOfPostgreSQLIsFullForItsLog(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	folder := dataFolder(t)
	smallDisk(t, folder, "224m")
	s := starveIn(t, folder, "")
	s.wait()
	ballast := fillDisk(t, folder)
	admin := s.admin()
	for range tooMany {
		if _, err := admin.Exec(t.Context(), `SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))`); err != nil {
			break
		}
	}
	if err := admin.Ping(context.WithoutCancel(t.Context())); err == nil {
		t.Fatal("PostgreSQL goes on writing its log")
	}
	// Its sessions end one after the other: the server's may still be there.
	matrixtest.Until(t, "refusals while the disk is full", func() bool {
		return s.lookBack().Status == http.StatusServiceUnavailable
	})
	s.wantTrouble()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.wantRecovery()
}

// TestDiskIsNearlyFull has the server stop taking things while PostgreSQL still can
// delete.
func TestDiskIsNearlyFull(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := dataFolder(t)
	smallDisk(t, dir, "224m")
	d := serveFrom(t, dir, "HOMESERVER_LIMITS_FREE_DISK=48MiB")
	defer d.end(syscall.SIGTERM)
	alice := d.client(t).Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	event := alice.SendText(room, "before")
	said := func(line string) {
		t.Helper()
		if !d.stderr.waitFor(line) || strings.Count(d.stderr.String(), line) != 1 {
			t.Fatalf("%q is not in the log, once:\n%s", line, d.stderr)
		}
	}
	ballast := fillDisk(t, dir)
	info, err := os.Stat(ballast)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(ballast, info.Size()-30<<20); err != nil {
		t.Fatal(err)
	}
	said("the disk is nearly full")
	refusedForNow(t, alice.Do(http.MethodPut, matrixtest.Path("rooms", room, "send", "m.room.message", "m"), map[string]any{"body": "x"}))
	refusedForNow(t, alice.Do(http.MethodPost, "/_matrix/media/v3/upload", "x"))
	alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "messages")+"?dir=b", nil).OK()
	alice.Do(http.MethodPut, matrixtest.Path("rooms", room, "redact", event, "r"), map[string]any{}).OK()

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	said("the disk has room again")
	alice.SendText(room, "after")
}

func TestDiskOfMediaIsFull(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := dataFolder(t)
	media := filepath.Join(dir, "media")
	smallDisk(t, media, "4m")
	d := serveFrom(t, dir, "HOMESERVER_LIMITS_FREE_DISK=0")
	defer d.end(syscall.SIGTERM)
	alice := d.client(t).Register("alice", "wordpass")
	upload := func(content string) *matrixtest.Response {
		return alice.Do(http.MethodPost, "/_matrix/media/v3/upload", content)
	}
	download := func(uploaded *matrixtest.Response) *matrixtest.Response {
		path := strings.Replace(uploaded.OK().String("content_uri"), "mxc://", "/_matrix/client/v1/media/download/", 1)
		return alice.Do(http.MethodGet, path, nil).OK()
	}
	small := upload("kept")
	ballast := fillDisk(t, media)
	large := largeText(1)
	refused := upload(large)
	refusedForNow(t, refused)
	if got := download(small); string(got.Body) != "kept" {
		t.Errorf("what was there before is %q", got.Body)
	}
	alice.SendText(alice.CreateRoom(nil), "no trouble of mine")
	if !strings.Contains(d.stderr.String(), "no space left on device") {
		t.Errorf("the log does not say why:\n%s", d.stderr)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if got := download(upload(large)); string(got.Body) != large {
		t.Error("what was uploaded afterwards is something else")
	}
}
