package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// defaultMaxConns leaves room in a server of 50 connections for a second
	// process and for an administrator.
	defaultMaxConns = 20
	// startTimeout is how long Open waits for a server that is not there yet: long
	// enough for a container beside us to start, short enough to notice a mistake.
	startTimeout = 30 * time.Second
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 10 * time.Second
	// MinVersion is the oldest PostgreSQL, as server_version_num has it.
	MinVersion = 140000
)

// sessionDefaults are settings of each connection of the pool. They apply unless
// the URL says otherwise.
var sessionDefaults = map[string]string{
	"application_name": "homeserver",
	"timezone":         "UTC",
	// Our statements are short and many: compiling them costs more than it saves.
	"jit": "off",
	// Each of our statements finds its rows by an index. Without statistics, as
	// in a young database, the planner would rather read whole tables, and keep to
	// that plan while they grow.
	"enable_seqscan": "off",
	// Their plans do not depend on their arguments, and planning one anew costs more
	// than to run it. PostgreSQL alone would do so for those where it hopes to gain.
	"plan_cache_mode": "force_generic_plan",
	// Nothing may hang for ever. The slowest honest statement is far below this.
	"statement_timeout":                   "30s",
	"lock_timeout":                        "10s",
	"idle_in_transaction_session_timeout": "60s",
}

// Options says which database to open and how.
type Options struct {
	// URL is a connection string of libpq and pgx:
	// postgres://user:password@host/database?sslmode=… or keyword=value pairs. TLS,
	// pool_* and session settings in it are honoured.
	URL string
	// MaxConns bounds the pool; 0 means pool_max_conns of the URL, or else 20.
	MaxConns int32
	// Admit is called once the schema is up to date, before the pool opens. Its error
	// refuses the database. nil: any database will do.
	Admit func(ctx context.Context, conn *pgx.Conn) error
	// Log logs waiting and migrations; nil: nothing is logged.
	Log *slog.Logger
}

// Open connects to the database, checks that it is fit to hold a homeserver,
// brings its schema up to date, and returns the pool. It waits up to 30 seconds
// for a server that is unreachable or still starting, and for as long as ctx
// allows while another process migrates. The caller closes the pool.
func Open(ctx context.Context, opts Options) (*pgxpool.Pool, error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	config, err := poolConfig(opts)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, config.ConnConfig, log)
	if err != nil {
		return nil, err
	}
	err = prepare(ctx, conn, opts, log)
	if err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))); err != nil {
		return nil, err
	}
	patience := newPatience(config.ConnConfig)
	config.ConnConfig.Tracer = patience
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the pool of PostgreSQL connections: %w", err)
	}
	patience.pool.Store(pool)
	return pool, nil
}

// prepare checks a database, brings it up to date, and asks whether it may be used.
func prepare(ctx context.Context, conn *pgx.Conn, opts Options, log *slog.Logger) error {
	if err := checkDatabase(ctx, conn); err != nil {
		return err
	}
	migrated, err := isMigrated(ctx, conn)
	if err != nil {
		return err
	}
	if !migrated {
		from, to, err := migrate(ctx, conn.Config(), newest)
		if err != nil {
			return err
		}
		if from != to {
			log.InfoContext(ctx, "migrated the database", "from", from, "to", to)
		}
	}
	if opts.Admit == nil {
		return nil
	}
	return opts.Admit(ctx, conn)
}

// poolConfig turns the options into pgx's, with bounds on everything that could
// hang.
func poolConfig(opts Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	plain, err := pgx.ParseConfig(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	if opts.MaxConns > 0 {
		config.MaxConns = opts.MaxConns
	} else if _, set := plain.RuntimeParams["pool_max_conns"]; !set {
		config.MaxConns = defaultMaxConns
	}
	config.PingTimeout = connectTimeout
	config.MaxConnLifetimeJitter = config.MaxConnLifetime / 10
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	for name, value := range sessionDefaults {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// connect opens one connection. While the server is away or still starting it
// tries again, with growing pauses, until startTimeout.
func connect(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (*pgx.Conn, error) {
	deadline := time.Now().Add(startTimeout)
	said := false
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return conn, nil
		}
		if !Unavailable(err) || time.Now().Add(pause).After(deadline) {
			return nil, fmt.Errorf("connect to PostgreSQL: %w", oneLine{err})
		}
		if !said {
			said = true
			log.WarnContext(ctx, "waiting for PostgreSQL", "error", oneLine{err})
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to PostgreSQL: %w", oneLine{errors.Join(context.Cause(ctx), err)})
		case <-time.After(pause):
		}
	}
}

// checkDatabase refuses a server that is too old and a database whose text is
// not UTF-8 or does not sort bytewise. The protocol compares identifiers by
// their bytes, and our statements and indexes do so as well.
func checkDatabase(ctx context.Context, conn *pgx.Conn) error {
	const query = `
		SELECT current_setting('server_version_num')::int, current_setting('server_version'),
		       current_database(), pg_encoding_to_char(encoding),
		       'Z' < 'a' AND 'z' < '~' AND ' ' < '!' AND 'a b' < 'aa'
		FROM pg_database WHERE datname = current_database()`
	var (
		number                  int
		version, name, encoding string
		bytewise                bool
	)
	err := conn.QueryRow(ctx, query).Scan(&number, &version, &name, &encoding, &bytewise)
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	if number < MinVersion {
		return fmt.Errorf("PostgreSQL is version %s: 14 or newer is needed", version)
	}
	var wrong string
	switch {
	case encoding != "UTF8":
		wrong = "stores text as " + encoding + ", not as UTF8"
	case !bytewise:
		wrong = "does not sort text bytewise, as collation C does"
	default:
		return nil
	}
	return fmt.Errorf("database %q %s; make another with: CREATE DATABASE %s ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0",
		name, wrong, pgx.Identifier{name + "_c"}.Sanitize())
}
