package disk

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// measured is a disk whose free space a test sets, and its watch.
type measured struct {
	*Watch
	space *Space

	mu   sync.Mutex
	free int64
	err  error
	log  bytes.Buffer
}

// newMeasured must be called within a bubble of synctest.
func newMeasured(t *testing.T, floor, free int64) *measured {
	t.Helper()
	m := &measured{free: free}
	m.Watch = NewWatch(Options{Floor: floor, Free: m.measure, Log: slog.New(slog.NewTextHandler(m, nil))})
	m.space = m.Add("/nowhere")
	m.Start()
	t.Cleanup(m.Stop)
	return m
}

func (m *measured) measure(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.free, m.err
}

// Write takes a line of the log.
func (m *measured) Write(line []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(line)
}

func (m *measured) lines() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String()
}

// becomes changes the free space, and has the watch look at it.
func (m *measured) becomes(free int64, err error) {
	m.mu.Lock()
	m.free, m.err = free, err
	m.mu.Unlock()
	<-time.After(interval) // of the bubble
	synctest.Wait()
}

func (m *measured) want(t *testing.T, what string, full bool, lines int) {
	t.Helper()
	if got := errors.Is(m.space.Check(), ErrFull); got != full {
		t.Errorf("%s: full is %v", what, got)
	}
	if got := strings.Count(m.lines(), "\n"); got != lines {
		t.Errorf("%s: %d lines, want %d:\n%s", what, got, lines, m.lines())
	}
}

func TestDiskIsRefusedBelowTheFloor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeasured(t, 800, 800)
		m.want(t, "at the floor", false, 0)
		m.becomes(799, nil)
		m.want(t, "below", true, 1)
		if !strings.Contains(m.lines(), "level=ERROR") || !strings.Contains(m.lines(), "folder=/nowhere free_bytes=799 floor_bytes=800") {
			t.Errorf("the log does not tell the operator: %s", m.lines())
		}
		m.becomes(100, nil)
		m.want(t, "still below", true, 1)
		m.becomes(0, errors.New("stale handle"))
		m.want(t, "unmeasured", true, 1)
		m.becomes(810, nil)
		m.want(t, "hardly above", true, 1)
		m.becomes(900, nil)
		m.want(t, "above", false, 2)
		m.becomes(0, errors.New("stale handle"))
		m.want(t, "unmeasured again", false, 2)
	})
}

func TestDiskThatIsNearlyFullAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		newMeasured(t, 800, 10).want(t, "at the start", true, 1)
		newMeasured(t, 0, 0).want(t, "without a floor", false, 0)
	})
	if err := (*Space)(nil).Check(); err != nil {
		t.Errorf("a disk that is none of ours: %v", err)
	}
}

func TestFoldersOfOneDiskAreOneSpace(t *testing.T) {
	t.Parallel()
	w := NewWatch(Options{})
	dir := t.TempDir()
	if w.Add(dir) != w.Add(filepath.Join(dir, ".")) || w.Add(dir) != w.Add(filepath.Dir(dir)) {
		t.Error("one disk is watched twice")
	}
	if w.Add(dir) != w.Add(filepath.Join(dir, "not", "made", "yet")) {
		t.Error("a folder that is still to be made counts as another disk")
	}
	if free, err := Free(dir); err != nil || free <= 0 {
		t.Errorf("got %d, %v", free, err)
	}
	if _, err := Free(filepath.Join(dir, "missing")); err == nil {
		t.Error("a folder that is not there was measured")
	}
}
