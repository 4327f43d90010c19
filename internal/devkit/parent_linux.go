package devkit

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// awaitExit returns once a process has ended, or the context.
func awaitExit(ctx context.Context, pid int) (err error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch the process %d: %w", pid, err)
	}
	process := os.NewFile(uintptr(fd), "pidfd")
	// Closing it ends the wait.
	defer context.AfterFunc(ctx, func() { _ = process.Close() })()
	defer func() { err = errors.Join(err, process.Close()) }()
	raw, err := process.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch the process %d: %w", pid, err)
	}
	// The descriptor is readable once the process has ended.
	return raw.Read(func(fd uintptr) bool {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return ready > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}
