//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package devkit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// awaitExit returns once a process has ended, or within a second of the end of the context.
func awaitExit(ctx context.Context, pid int) (err error) {
	queue, err := unix.Kqueue()
	if err != nil {
		return fmt.Errorf("watch the process %d: %w", pid, err)
	}
	defer func() { err = errors.Join(err, unix.Close(queue)) }()
	var exit unix.Kevent_t
	unix.SetKevent(&exit, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	exit.Fflags = unix.NOTE_EXIT
	if _, err := unix.Kevent(queue, []unix.Kevent_t{exit}, nil, nil); err != nil {
		return fmt.Errorf("watch the process %d: %w", pid, err)
	}
	limit := unix.NsecToTimespec(time.Second.Nanoseconds())
	for ctx.Err() == nil {
		happened, err := unix.Kevent(queue, nil, make([]unix.Kevent_t, 1), &limit)
		if happened > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}
