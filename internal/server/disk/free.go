package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// errUnmeasured is the error of a file system that reports no size at all, as some do
// that are services on the network.
var errUnmeasured = errors.New("the file system does not report its size")

// Free returns how many bytes an ordinary user may still write into a folder.
func Free(folder string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("find the free space of %s: %w", folder, err)
	}
	if stat.Blocks == 0 {
		return 0, fmt.Errorf("find the free space of %s: %w", folder, errUnmeasured)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil //nolint:unconvert // the types differ between systems
}

// same reports whether two folders, which may still have to be made, are on one file
// system.
func same(a, b string) bool {
	var first, second syscall.Stat_t
	return syscall.Stat(existing(a), &first) == nil && syscall.Stat(existing(b), &second) == nil && first.Dev == second.Dev
}

// existing returns the folder, or the nearest one above it that is there.
func existing(folder string) string {
	for {
		_, err := os.Stat(folder)
		above := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) || above == folder {
			return folder
		}
		folder = above
	}
}
