package server

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/clock"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/httppusher"
	"homeserver/internal/personal/invitepermission"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/personal/upgradedrooms"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/safehttp"
	"homeserver/internal/server/config"
	"homeserver/internal/syncstream"
)

// stream is /sync and the services of all that it shows beside rooms.
type stream struct {
	ticks    *journal.Ticks
	sync     *syncstream.Service
	data     *accountdata.Service
	invites  *invitepermission.Service
	receipts *receipts.Service
	typing   *typing.Service
	presence *presence.Service
	push     *push.Service
	pushers  *httppusher.Service
	upgraded *upgradedrooms.Service
}

// newStream makes the services on a journal that is not started yet.
func newStream(
	pool *pgxpool.Pool, entries *journal.Journal, others *replica.Channel,
	commands *rooms.Service, profiles *profile.Service, threepids *threepid.Service, keys *devicekeys.Service, messages *todevice.Service,
	cfg *config.Config, time *clock.Clock, log *slog.Logger,
) *stream {
	r := commands.Timeline
	shares := cfg.Budget().Caches
	ticks := journal.NewTicks()
	data := accountdata.New(pool, entries, r, int(shares.IgnoredUsers))
	invites := invitepermission.New(data, entries, int(shares.InvitePermissions))
	s := &stream{
		ticks:    ticks,
		data:     data,
		invites:  invites,
		receipts: receipts.New(pool, entries, r, data.SetFullyRead, int(shares.ReadMarks), time.Now),
		typing:   typing.New(r, entries, ticks, others, int(shares.Typing), time),
		presence: presence.New(presence.Options{
			Pool: pool, Journal: entries, Rooms: r, Profiles: profiles, Ticks: ticks, Others: others, Log: log,
			Share: int(shares.Presence), Clock: time,
		}),
	}
	s.push = push.New(push.Options{
		Shares: push.Shares{
			Rules: int(shares.PushRules), Rooms: int(shares.PushRooms), Names: int(shares.PushNames), Budgets: int(shares.PushBudgets),
			Unread: int(shares.UnreadCounts), Badges: int(shares.PushBadges),
		},
		Channel: others, PlainHTTP: cfg.Push.AllowHTTP, Now: time.Now,
		Pool: pool, Journal: entries, Rooms: r, ReadUpTo: s.receipts.Marks, Ignored: data.Ignored, HiddenInvites: invites.Hidden,
		OwnsEmail: func(ctx context.Context, userID, address string) (bool, error) {
			email, err := threepid.CanonicalEmail(address)
			if err != nil {
				return false, nil // it is nobody's
			}
			owner, err := threepids.Owner(ctx, email)
			return owner == userID, err
		},
	})
	s.pushers = httppusher.New(httppusher.Options{
		Journal: entries, Rooms: r, Push: s.push, ReadBy: readBy, Log: log,
		Client:      safehttp.New(safehttp.Options{AllowedRanges: cfg.Outgoing.AllowedRanges, UserAgent: "homeserver " + cfg.ServerName}),
		MemberBytes: int(shares.PushMembers), CountBytes: int(shares.PushedCounts), Clock: time,
	})
	s.upgraded = upgradedrooms.New(upgradedrooms.Options{
		Journal: entries, Rooms: r, Data: data, Push: s.push, CarryState: commands.CarryState, ServerName: cfg.ServerName, Log: log,
	})
	s.sync = syncstream.New(syncstream.Options{
		Pool: pool, Journal: entries, Rooms: r, Data: data, HiddenInvites: invites.Hidden, Receipts: s.receipts, Push: s.push, Typing: s.typing,
		Presence: s.presence, Keys: keys, ToDevice: messages, Ticks: ticks, Now: time.Now,
		Shares: syncstream.Shares{Viewers: int(shares.Viewers), Members: int(shares.LazyMembers), Filters: int(shares.Filters), Connections: int(shares.Connections)},
	})
	return s
}

// readBy returns the user for whom less may be unread after a journal entry that is no
// event, and in which room, 0: in any; "": nobody.
func readBy(entry *journal.Entry) (userID string, room journal.RoomNID) {
	switch v := entry.Value.(type) {
	case *receipts.Receipt:
		return v.UserID, v.Room
	case *push.Changed:
		return v.UserID, 0
	case *accountdata.Item:
		if v.Type == accountdata.TypeIgnoredUsers && v.Room == 0 || v.IsInvitePermission() {
			return v.UserID, 0
		}
	}
	return "", 0
}
