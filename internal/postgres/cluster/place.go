package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The files of a cluster's folder. The folder belongs to the server's user; only
// data and run belong to PostgreSQL's, so that it cannot change what root reads.
const (
	lockFile     = "lock"            // held by the process that runs the cluster
	locationFile = "location"        // where the cluster is, if it is not here
	settingsFile = "postgresql.conf" // written at each start, as the next two
	accessFile   = "pg_hba.conf"
	usersFile    = "pg_ident.conf"
	dataFolder   = "data"
	socketFolder = "run"

	versionFile    = "PG_VERSION"
	postmasterFile = "postmaster.pid"
	optionsFile    = "postmaster.opts" // how it was started

	// socketPort is only the last part of the socket's name.
	socketPort = "5432"
	socketName = ".s.PGSQL." + socketPort
	// maxSocketPath is the limit of the strictest system (macOS), less the final zero.
	maxSocketPath = 103
	// sharedFolder is the folder of clusters whose own folder PostgreSQL's user cannot
	// enter.
	sharedFolder = "/var/lib/homeserver"
)

// place is the folder of a cluster and its owner.
type place struct {
	base      string // absolute, without symbolic links
	socketDir string
	owner     *owner
}

func (p place) data() string            { return filepath.Join(p.base, dataFolder) }
func (p place) file(name string) string { return filepath.Join(p.base, name) }

// prepareDir makes the cluster's folder and returns its real path.
func prepareDir(dir string) (string, error) {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // PostgreSQL's user has to pass
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return "", fmt.Errorf("make the folder of the PostgreSQL cluster: %w", err)
	}
	path, err := realPath(dir)
	if err != nil {
		return "", fmt.Errorf("find the folder of the PostgreSQL cluster: %w", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chmod(path, mode); err != nil {
			return "", fmt.Errorf("open a folder to PostgreSQL's user: %w", err)
		}
	}
	return path, nil
}

// realPath returns the absolute path of a file, without symbolic links.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// lockDir makes this process the only one that runs the cluster of dir, until
// the file is closed or the process ends.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the PostgreSQL cluster: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 20)
		n, _ := file.ReadAt(holder, 0) // the name of the holder is a courtesy
		err = fmt.Errorf("%s is %w (process %s)", dir, ErrInUse, strings.TrimSpace(string(holder[:n])))
		return nil, errors.Join(err, file.Close())
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
	}
	return file, nil
}

// unlock releases the lock. Closing the file is not enough: a process that is being
// started at this moment has it open, too, until it becomes another program.
func unlock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	if errors.Is(err, syscall.EBADF) { // closed already
		err = nil
	}
	return errors.Join(err, file.Close())
}

// currentPlace returns the folder in which the cluster of dir really is.
func currentPlace(dir string) (string, error) {
	location, err := os.ReadFile(filepath.Join(dir, locationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return realPath(dir)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(location)), nil
}

// findPlace decides where the cluster of dir is: in dir, or, when PostgreSQL's user
// cannot enter that, in the shared folder.
func findPlace(ctx context.Context, dir string, log *slog.Logger) (place, error) {
	base, err := currentPlace(dir)
	if err != nil {
		return place{}, err
	}
	p := place{base: base}
	if p.owner, err = findOwner(p.data()); err != nil {
		return place{}, err
	}
	canEnter, err := p.owner.canEnter(ctx, base)
	if err != nil {
		return place{}, err
	}
	if !canEnter {
		if p.base, err = p.leave(ctx, dir, log); err != nil {
			return place{}, err
		}
	}
	if p.socketDir, err = p.makeSocketDir(); err != nil {
		return place{}, err
	}
	return p, p.owner.takeOver(p.data())
}

// leave finds another folder for a new cluster whose own its owner cannot enter.
// Data that exists is not left behind.
func (p place) leave(ctx context.Context, dir string, log *slog.Logger) (base string, err error) {
	if _, err := os.Stat(p.data()); err == nil || p.base != dir {
		return "", fmt.Errorf("the user %s, who runs PostgreSQL, cannot enter %s", p.owner.name, p.base)
	}
	if base, err = moveToSharedFolder(dir); err != nil {
		return "", err
	}
	canEnter, err := p.owner.canEnter(ctx, base)
	if err == nil && !canEnter {
		err = fmt.Errorf("the user %s, who runs PostgreSQL, can enter neither %s nor %s", p.owner.name, dir, base)
	}
	if err != nil {
		return "", err
	}
	log.InfoContext(ctx, "the PostgreSQL cluster stands elsewhere, because the user who runs it cannot enter the data folder",
		"user", p.owner.name, "folder", dir, "cluster", base)
	return base, nil
}

// moveToSharedFolder makes a folder for the cluster of dir where everybody can
// pass, and notes it in dir.
func moveToSharedFolder(dir string) (string, error) {
	base := filepath.Join(sharedFolder, shortName(dir))
	err := os.MkdirAll(base, 0o711)
	for _, dir := range []string{sharedFolder, base} {
		if err == nil {
			err = os.Chmod(dir, 0o711) // whatever the umask
		}
	}
	if err != nil {
		return "", fmt.Errorf("make a folder for the PostgreSQL cluster: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, locationFile), []byte(base+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("note where the PostgreSQL cluster stands: %w", err)
	}
	return base, nil
}

// shortName names a folder in a few characters: for people and without
// collisions.
func shortName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	name := filepath.Base(filepath.Dir(dir))
	if len(name) > 20 || name == "/" {
		name = "cluster"
	}
	return name + "-" + hex.EncodeToString(sum[:6])
}

// makeSocketDir makes the folder of the socket: inside the cluster's, or in a
// temporary folder if the path would be too long for a socket.
func (p place) makeSocketDir() (string, error) {
	dir := p.file(socketFolder)
	if !fitsSocket(dir) {
		dir = filepath.Join(temporaryFolder(), shortName(p.base))
	}
	if !fitsSocket(dir) {
		dir = filepath.Join("/tmp", shortName(p.base))
	}
	return dir, p.owner.makeFolder(dir)
}

// removeSocket removes the files that a dead postmaster left in the folder of the
// socket, whose process number may be taken again. The caller holds the lock, and no
// postmaster runs.
func (p place) removeSocket() error {
	for _, name := range []string{socketName, socketName + ".lock"} {
		if err := os.Remove(filepath.Join(p.socketDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a dead socket: %w", err)
		}
	}
	return nil
}

// fitsSocket reports whether the path of the socket in dir is short enough.
func fitsSocket(dir string) bool {
	return len(filepath.Join(dir, socketName)) <= maxSocketPath
}

// temporaryFolder returns a folder for sockets that PostgreSQL's user can enter.
func temporaryFolder() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return dir
	}
	return os.TempDir()
}
