package matrixtest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Log keeps the lines of a log. It is made by [NewLog].
type Log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced by each line
}

// NewLog makes an empty Log, for a handler of log records to write to.
func NewLog() *Log { return &Log{written: make(chan struct{})} }

// Write adds a line.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(p)
}

// Wait waits until the log has the text, and returns all of the log. A request is logged
// after the answer, so a client has its answer first.
func (l *Log) Wait(t testing.TB, text string) string {
	t.Helper()
	late := time.After(Patience)
	for {
		l.mu.Lock()
		all, written := l.text.String(), l.written
		l.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("%q was never logged, but:\n%s", text, all)
		}
	}
}
