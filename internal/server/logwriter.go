package server

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is how long a line of the log waits for others.
	logDelay = 10 * time.Millisecond
	// maxLogBytes is how much may wait.
	maxLogBytes = 64 << 10
)

// LogWriter writes the lines of a log a moment later, together with those logged
// meanwhile and in the same order: a system call for each costs more than to make the
// line. Lines logged in the moment before the process is killed are lost, but for
// warnings and errors, see Handler, and for what is logged after Hurry. It may be used
// concurrently.
type LogWriter struct {
	to io.Writer

	mu      sync.Mutex
	waiting []byte
	hurried bool
}

// NewLogWriter makes a LogWriter. Its user calls Flush at the end.
func NewLogWriter(to io.Writer) *LogWriter { return &LogWriter{to: to} }

// Write adds a line. It waits for the writer beneath only if that falls behind.
func (l *LogWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 && !l.hurried {
		time.AfterFunc(logDelay, l.Flush)
	}
	l.waiting = append(l.waiting, line...)
	if len(l.waiting) >= maxLogBytes || l.hurried {
		l.flush()
	}
	return len(line), nil
}

// Hurry writes the waiting lines at once, and each later one when it comes: for the end of
// a process, which may be cut short.
func (l *LogWriter) Hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurried = true
	l.flush()
}

// Flush writes the waiting lines at once.
func (l *LogWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

func (l *LogWriter) flush() {
	if len(l.waiting) > 0 {
		_, _ = l.to.Write(l.waiting) // an error of logging cannot be logged either
		l.waiting = l.waiting[:0]
	}
}

// Handler returns a handler of records whose lines another one writes to l. Warnings and errors, and all before them,
// are written at once: what ends the process badly is often said just before.
func (l *LogWriter) Handler(writes slog.Handler) slog.Handler { return &urgentHandler{writes, l} }

// urgentHandler has the lines of warnings and errors written at once.
type urgentHandler struct {
	slog.Handler
	lines *LogWriter
}

// Handle implements slog.Handler.
func (h *urgentHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.Flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *urgentHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.lines.Handler(h.Handler.WithAttrs(attrs))
}

// WithGroup implements slog.Handler.
func (h *urgentHandler) WithGroup(name string) slog.Handler {
	return h.lines.Handler(h.Handler.WithGroup(name))
}
