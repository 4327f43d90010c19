package cluster

import (
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestParseLogLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line    string
		level   slog.Level
		message string
		begins  bool
	}{
		{"postmaster|LOG:  starting PostgreSQL", slog.LevelDebug, "starting PostgreSQL", true},
		{"startup|LOG:  redo in progress", slog.LevelInfo, "redo in progress", true},
		{"postmaster|LOG:  server process (PID 7) was terminated by signal 11", slog.LevelError, "server process (PID 7) was terminated by signal 11", true},
		{"autovacuum worker|WARNING:  too many", slog.LevelWarn, "too many", true},
		{"autovacuum worker|ERROR:  invalid page", slog.LevelError, "invalid page", true},
		{"client backend|ERROR:  duplicate key", slog.LevelDebug, "ERROR:  duplicate key", true},
		{"client backend|FATAL:  role does not exist", slog.LevelDebug, "FATAL:  role does not exist", true},
		{"client backend|PANIC:  no space left", slog.LevelError, "no space left", true},
		{"checkpointer|PANIC:  could not fsync", slog.LevelError, "could not fsync", true},
		{"postmaster|FATAL:  could not map memory", slog.LevelError, "could not map memory", true},
		{"postmaster|HINT:  use less", slog.LevelDebug, "HINT:  use less", false},
		{"LOG:  before the settings", slog.LevelDebug, "before the settings", true},
		{"\tthe rest of a message", slog.LevelDebug, "the rest of a message", false},
		{"postgres: could not find the database system", slog.LevelError, "could not find the database system", true},
	} {
		level, message, begins := parseLogLine(test.line)
		if level != test.level || message != test.message || begins != test.begins {
			t.Errorf("parseLogLine(%q) = %v, %q, %v; want %v, %q, %v",
				test.line, level, message, begins, test.level, test.message, test.begins)
		}
	}
}

func TestReadLogGoesOnAfterALongLine(t *testing.T) {
	t.Parallel()
	ch := &child{ready: make(chan struct{}), gone: make(chan struct{})}
	text := strings.Repeat("x", 1<<20) + "\npostmaster|LOG:  " + readyMessage + "\npostmaster|FATAL:  over\npostmaster|HINT:  try again\n"
	readies := 0
	ch.readLog(io.NopCloser(strings.NewReader(text)), slog.New(slog.DiscardHandler), func() { readies++ })
	<-ch.gone
	<-ch.ready
	if readies != 1 || ch.reason != "over" {
		t.Errorf("ready %d times, reason %q", readies, ch.reason)
	}
}
