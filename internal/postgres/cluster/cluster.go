package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// superuser owns the cluster; only its set-up and administrators use it.
	superuser = "postgres"
	// clusterRole owns the server's databases and may make further ones.
	clusterRole = "homeserver"
	// clusterDatabase exists in every managed cluster.
	clusterDatabase = "homeserver"
	// stopTimeout is how long a fast shutdown, which writes a checkpoint, may take
	// before it is turned into an immediate one, which leaves recovery to the next
	// start. Neither loses a commit.
	stopTimeout = 60 * time.Second
)

// ErrInUse is wrapped by the error of [Start] when another process runs the cluster.
// [RunningURL] returns its address then.
var ErrInUse = errors.New("in use by another homeserver")

// Options has the place of a managed cluster and its purpose.
type Options struct {
	// Dir is the folder of the cluster, made if it is missing. It belongs to this
	// package alone.
	Dir string
	// Durable is false only for data that may be lost with the machine: tests and
	// the development server. It must be the same for the life of the folder.
	Durable bool
	// Template is what a new cluster is copied from; nil: it is made by initdb. Only for clusters that are not durable.
	Template *Template
	// Log logs messages of the cluster and of PostgreSQL; nil: none are logged.
	Log *slog.Logger

	// compact keeps the data small, for a template.
	compact bool
}

// Cluster is a PostgreSQL server of our own. It is made by [Start]; its
// methods may be called from several goroutines.
type Cluster struct {
	place    place
	binaries binaries
	durable  bool
	compact  bool
	template *Template // nil: none
	copied   bool      // of the template
	log      *slog.Logger
	lock     *os.File

	stopOnce sync.Once
	stopping chan struct{} // closed when Stop was called
	done     chan struct{} // closed when the supervisor has ended

	mu    sync.Mutex
	child *child // the running postmaster
}

// Start starts PostgreSQL in opts.Dir, after making a cluster there if
// there is none, and returns once the database "homeserver" in it can be used.
// From then on the cluster is kept running until Stop.
//
// Only one process may run a cluster; for others the error wraps [ErrInUse]. A cluster
// that an earlier process left behind, even with a PostgreSQL that still runs, is taken
// over: it is stopped, recovered and started anew.
//
// When the process is root, PostgreSQL runs as an unprivileged user (the owner of
// existing data, else homeserver, postgres or nobody). If that user cannot enter Dir
// the cluster is under /var/lib/homeserver, and a file in Dir says where.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := prepareDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	c := newCluster(opts, log, lock)
	err = c.start(ctx, dir)
	if err != nil && c.copied && ctx.Err() == nil {
		c, err = c.startAnew(ctx, opts, dir, err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL in %s: %w", dir, err), unlock(lock))
	}
	return c, nil
}

func newCluster(opts Options, log *slog.Logger, lock *os.File) *Cluster {
	return &Cluster{
		durable: opts.Durable, compact: opts.compact, template: opts.Template, log: log, lock: lock,
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
}

// startAnew starts a cluster that is no copy in the place of one that does not start, whose template is of no use.
func (c *Cluster) startAnew(ctx context.Context, opts Options, dir string, reason error) (*Cluster, error) {
	c.log.WarnContext(ctx, "a copied PostgreSQL cluster does not start: making one without the template", "error", reason)
	err := errors.Join(os.Remove(c.template.file(c.binaries)), os.RemoveAll(c.place.data()))
	if err != nil {
		return nil, errors.Join(reason, err)
	}
	opts.Template = nil
	anew := newCluster(opts, c.log, c.lock)
	return anew, anew.start(ctx, dir)
}

// start brings the cluster up in dir, whose lock is held.
func (c *Cluster) start(ctx context.Context, dir string) error {
	var err error
	if c.place, err = findPlace(ctx, dir, c.log); err != nil {
		return err
	}
	if c.binaries, err = findBinaries(ctx, c.place); err != nil {
		return err
	}
	if err := c.place.endOrphan(ctx, c.log); err != nil {
		return err
	}
	if err := c.initialise(ctx); err != nil {
		return err
	}
	if err := c.writeSettings(); err != nil {
		return err
	}
	started := make(chan error, 1)
	go c.supervise(started)
	select {
	case err = <-started:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil && !c.copied { // a copy has it
		err = c.createDatabase(ctx)
	}
	if err != nil {
		c.end(context.WithoutCancel(ctx))
	}
	return err
}

// createDatabase makes the role and the database that URL promises, if this is
// the first start.
func (c *Cluster) createDatabase(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, socketURL(c.place.socketDir, superuser, "postgres"))
	if err != nil {
		return fmt.Errorf("connect to set up the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()

	var role, database bool
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
		       EXISTS (SELECT FROM pg_database WHERE datname = $2)`,
		clusterRole, clusterDatabase).Scan(&role, &database)
	if err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if !role {
		if _, err := conn.Exec(ctx, "CREATE ROLE "+clusterRole+" LOGIN CREATEDB"); err != nil {
			return fmt.Errorf("create the role: %w", err)
		}
	}
	if !database {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+clusterDatabase+" OWNER "+clusterRole); err != nil {
			return fmt.Errorf("create the database: %w", err)
		}
	}
	return nil
}

// DataDir returns the folder with PostgreSQL's data.
func (c *Cluster) DataDir() string { return c.place.data() }

// URL returns the address of a database in the cluster, for [Open]. The database
// "homeserver" exists; its role may create others. Only the operating system
// user that runs the server can connect.
func (c *Cluster) URL(database string) string {
	return socketURL(c.place.socketDir, clusterRole, database)
}

// RunningURL returns the address of a database in the cluster that another
// process runs in dir. It is for the commands that work beside a running server;
// there is an error if none runs.
func RunningURL(dir, database string) (string, error) {
	base, err := currentPlace(dir)
	if err != nil {
		return "", fmt.Errorf("find the cluster of %s: %w", dir, err)
	}
	data := filepath.Join(base, dataFolder)
	postmaster, err := readPostmasterPID(data)
	if err != nil || !isPostmaster(postmaster.pid, data) {
		return "", fmt.Errorf("no PostgreSQL runs in %s", base)
	}
	return socketURL(postmaster.socketDir, clusterRole, database), nil
}

// socketURL returns the address of a database behind the socket in a folder.
func socketURL(socketDir, user, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Path:     "/" + database,
		RawQuery: url.Values{"host": {socketDir}, "port": {socketPort}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

// Stop shuts PostgreSQL down and returns when it has ended and the folder is
// free for others. Open transactions are rolled back. If a clean shutdown takes
// longer than ctx allows, or than a minute, PostgreSQL is ended at once and
// recovers at the next start; committed data is safe in either case.
func (c *Cluster) Stop(ctx context.Context) error {
	c.end(ctx)
	if err := unlock(c.lock); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlock the PostgreSQL cluster: %w", err)
	}
	return nil
}

// end stops the supervisor and its child.
func (c *Cluster) end(ctx context.Context) {
	c.stopOnce.Do(func() { close(c.stopping) })
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	c.signal(fastShutdown)
	select {
	case <-c.done:
		return
	case <-ctx.Done():
	}
	c.log.Warn("PostgreSQL does not stop in time: ending it at once")
	c.signal(immediateShutdown)
	<-c.done
}
