package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmaster is a running PostgreSQL, as described in its data folder.
type postmaster struct {
	pid       int
	socketDir string
}

// readPostmasterPID reads the file that a postmaster keeps while it runs (and
// leaves behind when it is killed).
func readPostmasterPID(data string) (postmaster, error) {
	content, err := os.ReadFile(filepath.Join(data, postmasterFile))
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(content), "\n") // pid, data, start, port, socket folder, …
	if len(lines) < 5 {
		return postmaster{}, fmt.Errorf("%s is incomplete", postmasterFile)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return postmaster{}, fmt.Errorf("%s: %w", postmasterFile, err)
	}
	return postmaster{pid: pid, socketDir: lines[4]}, nil
}

// endOrphan ends a PostgreSQL that outlived the server that started it. The
// caller holds the lock, so that no living server needs it.
func (p place) endOrphan(ctx context.Context, log *slog.Logger) error {
	found, err := readPostmasterPID(p.data())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !isPostmaster(found.pid, p.data()) {
		return p.disownPID()
	}
	log.InfoContext(ctx, "stopping the PostgreSQL that an earlier server left behind", "pid", found.pid)
	for _, step := range []struct {
		signal  syscall.Signal
		timeout time.Duration
	}{{fastShutdown, stopTimeout}, {immediateShutdown, leftoverTimeout}} {
		if err := syscall.Kill(found.pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the PostgreSQL left behind (process %d): %w", found.pid, err)
		}
		if ended, err := waitForEnd(ctx, found.pid, p.data(), step.timeout); ended || err != nil {
			return err
		}
	}
	return fmt.Errorf("the PostgreSQL left behind (process %d) does not stop", found.pid)
}

// waitForEnd waits until the process is no longer the postmaster of data. It is
// not our child, so that there is nothing to wait on but its disappearance.
func waitForEnd(ctx context.Context, pid int, data string, timeout time.Duration) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for isPostmaster(pid, data) {
		select {
		case <-look.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return false, nil
			}
			return false, ctx.Err()
		}
	}
	return true, nil
}

// disownPID makes PostgreSQL see that the process named in a file left behind is
// not a postmaster, although its number is taken again (which is usual in
// containers). PostgreSQL disregards its own parent's number, so that is put
// there; the rest of the file stays, because PostgreSQL finds by it whether
// sessions of the dead postmaster still run.
func (p place) disownPID() (err error) {
	root, err := os.OpenRoot(p.data()) // which PostgreSQL's user could have filled with links
	if err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	content, err := root.ReadFile(postmasterFile)
	if err != nil {
		return fmt.Errorf("read what a dead PostgreSQL left: %w", err)
	}
	_, rest, found := strings.Cut(string(content), "\n")
	if !found {
		err = root.Remove(postmasterFile) // cut off: nothing to learn from it
	} else {
		err = root.WriteFile(postmasterFile, []byte(strconv.Itoa(os.Getpid())+"\n"+rest), 0o600)
	}
	if err != nil {
		return fmt.Errorf("mark what a dead PostgreSQL left: %w", err)
	}
	return nil
}
