package directory

import "github.com/jackc/pgx/v5/pgxpool"

// Service holds the rules of aliases and of published rooms. Its methods may be called
// concurrently.
type Service struct {
	pool       *pgxpool.Pool
	serverName string
}

// New makes the service of a server with a name.
func New(pool *pgxpool.Pool, serverName string) *Service { return &Service{pool, serverName} }
