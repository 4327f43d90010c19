package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"homeserver/internal/doctor"
	"homeserver/internal/server"
	"homeserver/internal/server/backup"
	"homeserver/internal/server/config"
)

func backupCommand() command {
	return command{
		name:    "backup",
		args:    "DIR",
		summary: "Save the database, the media and the signing key in a new folder",
		details: lines(
			"The server may run meanwhile: the backup is of one moment. DIR must not exist, or be empty; it appears",
			"when the backup is whole. It holds all that the server knows, so keep it as safe as the server.",
		),
		prepare: onFolder(func(ctx context.Context, a *app, cfg *config.Config, dir string) error {
			summary, err := server.Backup(ctx, cfg, quietLog(a.stderr, cfg.Log), dir, a.stderr)
			if err != nil {
				return err
			}
			a.print(a.stdout, fmt.Sprintf("Backed up %s to %s: %s.\n", summary.ServerName, dir, contents(summary)))
			a.mentionMissing(summary)
			return nil
		}),
	}
}

func restoreCommand() command {
	return command{
		name:    "restore",
		args:    "DIR",
		summary: "Make the server of a backup again, in an empty database",
		details: lines(
			"Nothing is changed before every file of the backup has been checked. The database must be empty, no",
			"server may use it, and the server must have the name that it had.",
			"",
			"What was written after the backup is lost. Everybody has to log in again, since a device that was logged",
			"out after the backup would be logged in again otherwise. With --keep-sessions devices go on as if nothing",
			"had happened, but for those that have logged in since.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			keep := flags.Bool("keep-sessions", false, "let devices stay logged in, those logged out after the backup too")
			return onFolder(func(ctx context.Context, a *app, cfg *config.Config, dir string) error {
				return a.restore(ctx, cfg, dir, *keep)
			})(a, flags)
		},
	}
}

// restore makes the server of a backup again, and prints what has become of sessions.
func (a *app) restore(ctx context.Context, cfg *config.Config, dir string, keepSessions bool) error {
	summary, err := server.Restore(ctx, cfg, quietLog(a.stderr, cfg.Log), dir, keepSessions, a.stderr)
	if err != nil {
		return err
	}
	sessions := "Everybody has been logged out (--keep-sessions would have kept the sessions)."
	if keepSessions {
		sessions = "Devices that were logged in at the time of the backup are logged in."
	}
	a.print(a.stdout, fmt.Sprintf("Restored %s as it was on %s: %s.\n%s\n", summary.ServerName,
		summary.TakenAt.UTC().Format(time.DateTime), contents(summary), sessions))
	a.mentionMissing(summary)
	return nil
}

// onFolder makes a command of one that needs the configuration and a folder.
func onFolder(do func(ctx context.Context, a *app, cfg *config.Config, dir string) error) func(*app, *flag.FlagSet) func(context.Context, []string) error {
	return func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
		var s settings
		s.declare(flags)
		return func(ctx context.Context, args []string) error {
			cfg, err := s.load(a)
			if err != nil {
				return err
			}
			return do(ctx, a, cfg, args[0])
		}
	}
}

// contents returns how much there is in a backup.
func contents(s *backup.Summary) string {
	return fmt.Sprintf("%d rows, %d files, %.1f MB", s.Rows, s.Files, float64(s.Bytes)/1e6)
}

// mentionMissing names the files that a backup is without.
func (a *app) mentionMissing(s *backup.Summary) {
	const named = 10
	for i, hash := range s.Missing {
		if i == named {
			a.complain("… and %d more", len(s.Missing)-named)
			return
		}
		a.complain("the file with the SHA-256 %s was missing or damaged, and is not in the backup", hash)
	}
}

func doctorCommand() command {
	return command{
		name:    "doctor",
		summary: "Look for what is wrong in the server's data",
		details: lines(
			"It checks hashes and signatures of events, the state of rooms, positions, references to media, indexes",
			"and more. The exit code is 1 if something is wrong. The server may run meanwhile.",
			"",
			"With --repair it puts right what follows from something else: counts, ends of intervals, indexes, files",
			"that belong to nothing. It never changes a message. The server must not run then.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			repair := flags.Bool("repair", false, "repair what can be repaired")
			return func(ctx context.Context, _ []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				// Elsewhere than on a terminal each check is a line on standard output, and needs no other.
				progress := io.Discard
				if isTerminal(a.stderr) {
					progress = a.stderr
				}
				summary, err := server.Doctor(ctx, cfg, quietLog(a.stderr, cfg.Log), *repair, a.stdout, progress)
				if err != nil {
					return err
				}
				return a.conclude(summary)
			}
		},
	}
}

// conclude sums up the doctor's findings; it returns an error if something is wrong.
func (a *app) conclude(s doctor.Summary) error {
	switch {
	case s.Wrong == 0:
		a.print(a.stdout, "Nothing is wrong.\n")
	case s.Remaining() == 0:
		a.print(a.stdout, fmt.Sprintf("Wrong: %d. All repaired.\n", s.Wrong))
	default:
		return fmt.Errorf("wrong: %d, repaired: %d", s.Wrong, s.Repaired)
	}
	return nil
}
