package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unprivilegedUsers are the users that run PostgreSQL for a server that is root,
// in order of preference.
var unprivilegedUsers = []string{"homeserver", "postgres", "nobody"}

// owner is the operating system user that runs PostgreSQL and owns its files.
type owner struct {
	name     string
	uid, gid int
}

// findOwner decides who runs PostgreSQL: the server's own user, or, because
// PostgreSQL refuses to be root, an unprivileged one. Data that exists stays
// with its owner.
func findOwner(data string) (*owner, error) {
	uid := os.Geteuid()
	if uid != 0 {
		return lookUpOwner(user.LookupId(strconv.Itoa(uid)))
	}
	if info, err := os.Stat(data); err == nil {
		if uid := ownerOf(info); uid != 0 {
			return lookUpOwner(user.LookupId(strconv.Itoa(uid)))
		}
	}
	for _, name := range unprivilegedUsers {
		if found, err := user.Lookup(name); err == nil {
			return lookUpOwner(found, nil)
		}
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is none of the users %q to run it as", unprivilegedUsers)
}

// lookUpOwner converts the system's record of a user.
func lookUpOwner(found *user.User, err error) (*owner, error) {
	if err != nil {
		return nil, fmt.Errorf("find the user to run PostgreSQL as, who needs a name on this system: %w", err)
	}
	uid, uidErr := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("find the user to run PostgreSQL as: %w", err)
	}
	return &owner{name: found.Username, uid: uid, gid: gid}, nil
}

// ownerOf returns the user ID of a file's owner.
func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// isOther reports whether the owner is not the user that this process runs as.
func (o *owner) isOther() bool { return o.uid != os.Geteuid() }

// command prepares a program to run as the owner, in a folder, in its own
// process group (so that Ctrl-C at a terminal reaches only the server, which
// then stops PostgreSQL in its turn) and with nothing in its environment that
// could change how PostgreSQL behaves.
func (o *owner) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if o.isOther() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	return cmd
}

// canEnter reports whether the owner can enter a folder. The kernel is asked, as
// the owner, because permissions are more than the bits of the folders above.
func (o *owner) canEnter(ctx context.Context, dir string) (bool, error) {
	if !o.isOther() {
		return true, nil
	}
	err := o.command(ctx, dir, "/bin/sh", "-c", ":").Run()
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check whether %s can enter %s: %w", o.name, dir, err)
	}
	return true, nil
}

// makeFolder makes a folder that only the owner can use. One that exists must
// already be so: in a shared place it could be somebody's trap.
func (o *owner) makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		if err := os.Lchown(dir, o.uid, o.gid); err != nil {
			return fmt.Errorf("change the owner of a folder to %s: %w", o.name, err)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at a folder for PostgreSQL: %w", err)
	}
	if !info.IsDir() || ownerOf(info) != o.uid || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not a folder of %s alone: remove it", dir, o.name)
	}
	return nil
}

// takeOver makes the owner of the cluster the owner of data that belongs to root, such
// as a restored backup.
func (o *owner) takeOver(data string) error {
	info, err := os.Lstat(data)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!o.isOther() || ownerOf(info) == o.uid) {
		return nil
	}
	if err == nil {
		err = filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, o.uid, o.gid)
		})
	}
	if err != nil {
		return fmt.Errorf("change the owner of the data to %s: %w", o.name, err)
	}
	return nil
}
