package directory

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
)

// Service holds the rules of aliases and of published rooms. Its methods may be called
// concurrently.
type Service struct {
	pool       *pgxpool.Pool
	serverName string
	onAlias    func(room journal.RoomNID)
	ask        func(ctx context.Context, alias string) (exists bool, err error)
}

// New makes the service of a server with a name.
func New(pool *pgxpool.Pool, serverName string) *Service {
	return &Service{pool: pool, serverName: serverName, onAlias: func(journal.RoomNID) {}}
}

// OnMissing sets the function that is asked for a room alias that does not exist, and reports
// whether it does now. Call it before the service is used.
func (s *Service) OnMissing(ask func(ctx context.Context, alias string) (exists bool, err error)) {
	s.ask = ask
}

// OnAlias sets the function that is called when a request to this process has made a further
// alias for a room, before the request is answered. All processes learn of each change from
// the database, later. Call OnAlias before the service is used.
func (s *Service) OnAlias(f func(room journal.RoomNID)) { s.onAlias = f }
