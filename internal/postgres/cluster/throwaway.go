package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// abandonedAge is how old the lock of a throwaway cluster must be before it can
// count as abandoned: far more than passes between making and taking it.
const abandonedAge = 10 * time.Minute

// MakeThrowawayDir makes a folder for a cluster that is not durable, and returns its
// path, which begins with the prefix. It is in memory (/dev/shm) if there are at least
// 2 GiB of room, where making clusters and databases takes a fraction of the time, else
// with the temporary files. The caller removes it; folders that callers with the same
// prefix left behind when they were killed are removed here.
func MakeThrowawayDir(prefix string) (string, error) {
	parent := throwawayParent()
	removeAbandoned(parent, prefix)
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for a temporary cluster: %w", err)
	}
	return dir, nil
}

// heir waits for the end of its input, which is the end of the process that started it. Then it waits until the
// PostgreSQL in the folder, which the kernel signals to stop, has ended, and removes the folder.
const heir = `
cat >/dev/null
read -r postmaster <"$1/data/postmaster.pid" && {
	tries=0
	while kill -0 "$postmaster" && [ $tries -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
}
tries=0
until rm -rf -- "$1" || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
`

// RemoveAfterKill has a folder of [MakeThrowawayDir] removed once this process has ended, however that is:
// memory that a killed one has taken would be taken until somebody else starts. Another process waits for
// that, by the shell. remove is for the orderly end: it does so now, and returns when it is done; the cluster
// must have been stopped.
func RemoveAfterKill(dir string) (remove func() error, err error) {
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", heir, "sh", dir)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	// A signal that ends this process, such as Ctrl-C at a terminal, must not end that
	// one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("watch over the temporary data: %w", err)
	}
	return func() error {
		err := os.RemoveAll(dir)
		return errors.Join(err, end.Close(), cmd.Wait())
	}, nil
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

// removeAbandoned removes the throwaway clusters that no process runs. One that cannot
// be removed stays for the next time: it does no harm.
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
