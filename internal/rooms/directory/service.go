package directory

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/rooms/timeline"
)

// Service holds the rules of aliases and of published rooms. Its methods may be called
// concurrently. The user ID that they are given is that of the user who asks,
// authenticated by the caller.
type Service struct {
	pool       *pgxpool.Pool
	timeline   *timeline.Store
	serverName string
}

// New makes the service of a server with a name.
func New(pool *pgxpool.Pool, t *timeline.Store, serverName string) *Service {
	return &Service{pool: pool, timeline: t, serverName: serverName}
}
