package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// abandonedAge is how old the lock of a throwaway cluster must be before it can
// count as abandoned: far more than passes between making and taking it.
const abandonedAge = 10 * time.Minute

// MakeThrowawayDir makes a folder for a cluster that is not durable, and returns
// its path, which begins with the prefix. It stands in memory (/dev/shm) if there
// are at least 2 GiB of room, where making clusters and databases takes a fraction
// of the time, else with the temporary files. The caller removes it; what callers
// with the same prefix left behind when they were killed is removed here.
func MakeThrowawayDir(prefix string) (string, error) {
	parent := throwawayParent()
	removeAbandoned(parent, prefix)
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for a temporary cluster: %w", err)
	}
	return dir, nil
}

// throwawayParent returns the folder for throwaway clusters.
func throwawayParent() string {
	const memory, enough = "/dev/shm", 2 << 30
	var stat syscall.Statfs_t
	if err := syscall.Statfs(memory, &stat); err != nil || uint64(stat.Bavail)*uint64(stat.Bsize) < enough {
		return os.TempDir()
	}
	return memory
}

// removeAbandoned removes the throwaway clusters that no process runs. What
// cannot be removed stays for the next time: it is in nobody's way.
func removeAbandoned(parent, prefix string) {
	found, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		if !isOldAndOurs(dir) {
			continue
		}
		lock, err := lockDir(dir)
		if err != nil {
			continue // it is in use
		}
		_ = errors.Join(os.RemoveAll(dir), lock.Close())
	}
}

// isOldAndOurs reports whether a folder, in a place where anybody can make one,
// was made by this user and has been locked for a while.
func isOldAndOurs(dir string) bool {
	folder, err := os.Lstat(dir)
	if err != nil || !folder.IsDir() || ownerOf(folder) != os.Geteuid() {
		return false
	}
	lock, err := os.Lstat(filepath.Join(dir, lockFile))
	return err == nil && lock.Mode().IsRegular() && time.Since(lock.ModTime()) > abandonedAge
}
