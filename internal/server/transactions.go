package server

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/appservice/transactions"
	"homeserver/internal/clock"
	"homeserver/internal/server/config"
)

// newTransactions makes the service that sends application services what concerns them, of
// which the others tell it: calls of application services, and new aliases.
func newTransactions(cfg *config.Config, pool *pgxpool.Pool, s *services, time *clock.Clock, log *slog.Logger) *transactions.Service {
	sending := transactions.New(transactions.Options{
		Pool: pool, Journal: s.journal, Channel: s.others, Rooms: s.rooms.Timeline, Aliases: s.rooms.Directory.AliasesOfRooms,
		Receipts: s.stream.receipts, Typing: s.stream.typing, Presence: s.stream.presence, Ticks: s.stream.ticks,
		ToDevice: s.toDevice, Keys: s.keys, Services: s.bridges, RoomBytes: int(cfg.Budget().Caches.AppServiceRooms), Clock: time, Log: log,
	})
	s.bridges.OnCall(sending.Alive)
	s.bridges.OnReach(sending.Reached)
	s.rooms.Directory.OnAlias(sending.AliasChanged)
	return sending
}
