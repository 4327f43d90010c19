package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server/config"
)

// Renewable has a server keep what it was prepared with, so that Renew brings it back. It is for servers with a
// private PostgreSQL cluster whose data are not durable. Early keeps it at the start; else it is made when it is first
// needed, by calling the functions of Prepare once more, and these must do the same again.
func Renewable(early bool) Option {
	return func(s *Server) { s.renewal = &renewal{early: early} }
}

// renewal is how a server is set back: a database that nobody uses, the base, is cloned, and a core on the clone takes
// the place of the one before.
type renewal struct {
	early bool
	// swapping guards Server.core.
	swapping sync.Mutex
	// renewing keeps two from renewing at once, and guards the rest.
	renewing sync.Mutex
	cluster  *cluster.Cluster
	signer   *event.Signer
	// base is the configuration of the base; nil: it has not been made.
	base *config.Config
	// next receives the core that comes next.
	next chan successor
	// clones is how many have been made.
	clones int
	// working are cores that are being made, or end.
	working sync.WaitGroup
}

// successor is a core on a copy of the base, which runs and serves nobody yet.
type successor struct {
	*core
	err error
}

const (
	// renewalMargin is how far the positions of a successor are ahead when it is made, and endMargin what must be left
	// of that when it takes over: more than the core that ends writes until it has ended.
	renewalMargin journal.Position = 2_000_000
	endMargin     journal.Position = 100_000
	// baseDatabase is the base that is made late. One that is made early is the first database.
	baseDatabase = "homeserver_base"
)

// Renew sets the server back to what it was when it first answered: accounts with their tokens, rooms, files. Clients
// keep their connections. Requests that wait are answered, and those that are being served end on the data that goes;
// all later ones are served by the data that comes. Positions, and so the tokens of /sync, only move forward.
func (s *Server) Renew(ctx context.Context) error {
	r := s.renewal
	if r == nil || r.cluster == nil {
		return errors.New("renew the server: it was not started for that")
	}
	r.renewing.Lock()
	defer r.renewing.Unlock()
	if err := s.makeBase(ctx); err != nil {
		return fmt.Errorf("make the database to begin with: %w", err)
	}
	next, err := s.takeSuccessor(ctx)
	if err != nil {
		return err
	}
	if err := s.open(next); err != nil {
		return errors.Join(err, next.stop(context.WithoutCancel(ctx)))
	}
	before := s.swap(next)
	s.makeSuccessor()
	before.services.parts.release()
	r.working.Go(func() { s.retire(context.WithoutCancel(ctx), before) })
	return nil
}

// takeSuccessor returns the core that comes next, whose positions are ahead of those of the one before.
func (s *Server) takeSuccessor(ctx context.Context) (*core, error) {
	for {
		select {
		case next := <-s.renewal.next:
			switch {
			case next.err != nil:
				s.makeSuccessor() // for another try
				return nil, next.err
			case next.services.journal.Position()-s.current().services.journal.Position() > endMargin:
				return next.core, nil
			}
			s.renewal.working.Go(func() { s.retire(context.WithoutCancel(ctx), next.core) })
			s.makeSuccessor()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// swap puts a core in the place of the one before, and returns that.
func (s *Server) swap(next *core) (before *core) {
	s.renewal.swapping.Lock()
	defer s.renewal.swapping.Unlock()
	before, s.core = s.core, next
	return before
}

// keepBase makes the first database, which is prepared, the base, and puts a core on a clone in its place. It is called
// before the server answers.
func (s *Server) keepBase(ctx context.Context) error {
	r := s.renewal
	if err := s.core.finish(ctx); err != nil {
		return err
	}
	base := *s.core.cfg
	base.Database.URL = config.Secret(r.cluster.URL(databaseName))
	r.setBase(&base)
	next, err := s.newSuccessor(ctx)
	if err != nil {
		return err
	}
	s.swap(next)
	s.makeSuccessor()
	return nil
}

// makeBase makes the base, unless there is one.
func (s *Server) makeBase(ctx context.Context) error {
	r := s.renewal
	if r.base != nil {
		return nil
	}
	base := s.renewalConfig(baseDatabase)
	err := s.administer(ctx, func(conn *pgx.Conn) error {
		return errors.Join(postgres.DropDatabase(ctx, conn, baseDatabase), postgres.CreateDatabase(ctx, conn, baseDatabase))
	})
	if err != nil {
		return err
	}
	c, err := s.coreOn(ctx, base, s.prepare)
	if err != nil {
		return err
	}
	if err := c.finish(ctx); err != nil {
		return err
	}
	r.setBase(base)
	s.makeSuccessor()
	return nil
}

// finish stops a core whose database becomes the base, once the search index and all else that follows
// the events is there: else each clone would have to make up for it, and be searched in vain until then.
func (c *core) finish(ctx context.Context) error {
	return errors.Join(c.services.journal.AwaitFollowers(ctx), c.stop(ctx))
}

func (r *renewal) setBase(base *config.Config) { r.base, r.next = base, make(chan successor, 1) }

// stop returns when the work in the background has ended, and the core that would have come next.
func (r *renewal) stop(ctx context.Context) error {
	r.renewing.Lock() // no other one begins any more
	r.working.Wait()
	select {
	case next := <-r.next:
		if next.err == nil {
			return next.stop(ctx)
		}
	default:
	}
	return nil
}

// renewalConfig returns the configuration of a core on a database of the cluster, with files of its own.
func (s *Server) renewalConfig(database string) *config.Config {
	cfg := *s.cfg
	cfg.Database.URL = config.Secret(s.renewal.cluster.URL(database))
	cfg.Media.Folder = filepath.Join(s.cfg.DataDir, "media-"+database)
	return &cfg
}

// makeSuccessor makes the next core in the background. Only one is made at a time.
func (s *Server) makeSuccessor() {
	r := s.renewal
	r.working.Go(func() {
		next, err := s.newSuccessor(context.Background())
		r.next <- successor{next, err}
	})
}

// newSuccessor copies the base, with positions ahead of those of now, and starts a core on the copy.
func (s *Server) newSuccessor(ctx context.Context) (*core, error) {
	r := s.renewal
	r.clones++
	name := fmt.Sprintf("homeserver_%d", r.clones)
	cfg := s.renewalConfig(name)
	err := s.administer(ctx, func(conn *pgx.Conn) error {
		return postgres.CloneDatabase(ctx, conn, databaseOf(r.base), name)
	})
	if err == nil {
		err = linkAll(r.base.MediaDir(), cfg.MediaDir())
	}
	if err == nil {
		err = skip(ctx, cfg, s.current().services.journal.Position()+renewalMargin)
	}
	if err != nil {
		return nil, err
	}
	return s.coreOn(ctx, cfg, nil)
}

// databaseOf returns the name of the database of a configuration.
func databaseOf(cfg *config.Config) string {
	parsed, err := pgx.ParseConfig(string(cfg.Database.URL))
	if err != nil {
		return ""
	}
	return parsed.Database
}

// administer calls a function with a connection to no database of the server's.
func (s *Server) administer(ctx context.Context, do func(conn *pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.renewal.cluster.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	return errors.Join(do(conn), conn.Close(context.WithoutCancel(ctx)))
}

// skip moves the positions of a database on.
func skip(ctx context.Context, cfg *config.Config, to journal.Position) error {
	conn, err := pgx.Connect(ctx, string(cfg.Database.URL))
	if err != nil {
		return fmt.Errorf("connect to a clone: %w", err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return journal.Skip(ctx, tx, to) })
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// coreOn starts a core on a database of the cluster.
func (s *Server) coreOn(ctx context.Context, cfg *config.Config, prepare []preparation) (*core, error) {
	db, err := (&database{url: string(cfg.Database.URL)}).open(ctx, cfg, (&owner{cfg: cfg}).claim, s.log)
	if err != nil {
		return nil, err
	}
	db.cluster = s.renewal.cluster // for its folder
	c, err := s.newCore(ctx, cfg, db, s.renewal.signer, prepare)
	if err != nil {
		db.pool.Close()
		return nil, err
	}
	return c, nil
}

// retire ends a core once the requests to it are served, and removes what it had.
func (s *Server) retire(ctx context.Context, c *core) {
	served := make(chan struct{})
	go func() {
		c.running.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-time.After(drainTimeout): // they get an error of the database
	}
	err := c.stop(ctx)
	if name := databaseOf(c.cfg); name != "" {
		err = errors.Join(err, s.administer(ctx, func(conn *pgx.Conn) error { return postgres.DropDatabase(ctx, conn, name) }))
		err = errors.Join(err, os.RemoveAll(c.cfg.MediaDir()))
	}
	if err != nil {
		s.log.Warn("end the services that were replaced", "error", err)
	}
}

// linkAll makes a folder with the files of another one, which are never changed.
func linkAll(from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		return os.Link(path, filepath.Join(to, name)) //nolint:gosec // G122: nobody else writes to the server's folder
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy the files: %w", err)
	}
	return nil
}
