//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package devkit

import (
	"context"
	"errors"
)

// awaitExit returns an error at once: the system does not report the end of a process that is not a child.
func awaitExit(context.Context, int) error { return errors.ErrUnsupported }
