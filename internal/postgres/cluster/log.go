package cluster

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strings"
)

// Messages of PostgreSQL, in its own English (lc_messages is C).
const (
	readyMessage    = "database system is ready to accept connections"
	leftoverMessage = "pre-existing shared memory block"
)

// readLog passes on the log of PostgreSQL until all its processes have ended, and
// notices when it is ready.
func (ch *child) readLog(pipe io.ReadCloser, log *slog.Logger, onReady func()) {
	defer close(ch.gone)
	defer func() { _ = pipe.Close() }() // only read from
	lines := bufio.NewReader(pipe)
	level := slog.LevelDebug
	isReady := false
	for {
		// A line longer than the buffer comes in pieces: better than to stop reading,
		// which would make PostgreSQL wait.
		line, _, err := lines.ReadLine()
		if err != nil {
			return
		}
		newLevel, message, begins := parseLogLine(string(line))
		if begins {
			level = newLevel // else it goes on with the previous message
		}
		log.Log(context.Background(), level, "PostgreSQL: "+message)
		if begins && level >= slog.LevelError {
			ch.reason = message
		}
		if !isReady && strings.HasSuffix(message, readyMessage) {
			isReady = true
			close(ch.ready)
			onReady()
		}
	}
}

// parseLogLine parses a line of PostgreSQL's log, which looks like "client
// backend|ERROR: message". A line with no severity, or with a hint or detail, does not
// begin a message and has no level of its own.
func parseLogLine(line string) (level slog.Level, message string, begins bool) {
	source, rest, ok := strings.Cut(line, "|")
	if !ok {
		source, rest = "", line // from before the settings were read
	}
	if strings.HasPrefix(rest, "postgres: ") {
		return slog.LevelError, strings.TrimPrefix(rest, "postgres: "), true // from before there was a log
	}
	severity, message, _ := strings.Cut(rest, ":  ")
	switch severity {
	case "PANIC":
		return slog.LevelError, message, true
	case "FATAL", "ERROR":
		if source == "client backend" {
			return slog.LevelDebug, rest, true // the client gets the error as well, and handles it
		}
		return slog.LevelError, message, true
	case "WARNING":
		return slog.LevelWarn, message, true
	case "LOG":
		if strings.Contains(message, "was terminated by signal") {
			return slog.LevelError, message, true // one process has crashed, and PostgreSQL starts all of them again
		}
		if source == "startup" {
			return slog.LevelInfo, message, true // recovery, and how far it is
		}
		return slog.LevelDebug, message, true
	default:
		return slog.LevelDebug, strings.TrimSpace(rest), false
	}
}
