package devkit

import (
	"context"
	"os"
	"time"
)

// lookEvery is how often it is looked whether the parent has ended, where the system does not report it.
const lookEvery = 250 * time.Millisecond

// WatchParent calls ended once the process that started this one has ended, unless the context ends before. It returns
// at once. The kernel reports the end on Linux, macOS and the BSDs; where it does not, this looks four times a second.
//
// It does not use the signal that Linux sends at the death of a parent: that comes when the thread ends that has started
// this process, which may be long before its process does.
func WatchParent(ctx context.Context, ended func()) {
	parent := os.Getppid()
	go func() {
		// An error leaves it to looking. So does a wait that ends for another process, which has the number of a
		// parent that had ended before.
		_ = awaitExit(ctx, parent)
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for os.Getppid() == parent {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
		}
		ended()
	}()
}
