package upgradedrooms

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/timeline"
)

// Options is what a Service is made of.
type Options struct {
	Journal *journal.Journal
	Rooms   *timeline.Store
	Data    *accountdata.Service
	Push    *push.Service
	// CarryState adds the state that an upgrade has left to a new room, whose m.room.create it
	// is given.
	CarryState func(ctx context.Context, create *timeline.Event) error
	// ServerName is that of this server, whose users have settings here.
	ServerName string
	Log        *slog.Logger
}

// Service has settings follow members. Of all processes on a database one does.
type Service struct {
	o        Options
	follower *journal.Follower
}

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{o: o}
	s.follower = o.Journal.Follower("upgraded_rooms", s.follow)
	return s
}

// Start begins the work, until Stop. Call it after the journal has been started.
func (s *Service) Start(ctx context.Context) { s.follower.Start(ctx) }

// Stop ends the work.
func (s *Service) Stop() { s.follower.Stop() }

// AwaitNewest returns once the settings of all who have joined until now have followed.
func (s *Service) AwaitNewest(ctx context.Context) error {
	return s.follower.Await(ctx, s.o.Journal.Position())
}

// follow handles the joins in (after, upTo]. It is a journal.Step that writes nothing by its
// transaction.
func (s *Service) follow(ctx context.Context, _ pgx.Tx, after, upTo journal.Position) error {
	if err := s.carryState(ctx, after, upTo); err != nil {
		return err
	}
	members, err := s.o.Rooms.StateBetween(ctx, after, upTo, event.TypeMember)
	if err != nil {
		return err
	}
	joined := map[journal.RoomNID][]string{}
	for e, err := range members.All(ctx) {
		if err != nil {
			return err
		}
		if e.Membership() == event.Join && e.MembershipBefore() != event.Join && s.isLocal(*e.StateKey) {
			joined[e.Room] = append(joined[e.Room], *e.StateKey)
		}
	}
	rooms := make([]journal.RoomNID, 0, len(joined))
	for room := range joined {
		rooms = append(rooms, room)
	}
	replaced, err := s.o.Rooms.Predecessors(ctx, rooms)
	if err != nil {
		return err
	}
	for room, olds := range replaced {
		for _, userID := range joined[room] {
			if err := s.carryOver(ctx, userID, room, olds); err != nil {
				return err
			}
		}
	}
	return nil
}

// carryState completes the state of the rooms that were made in (after, upTo].
func (s *Service) carryState(ctx context.Context, after, upTo journal.Position) error {
	creations, err := s.o.Rooms.StateBetween(ctx, after, upTo, event.TypeCreate)
	if err != nil {
		return err
	}
	for e, err := range creations.All(ctx) {
		if err != nil {
			return err
		}
		if e.CreateContent().Predecessor == "" {
			continue
		}
		if err := s.o.CarryState(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// carryOver copies to a room the settings of a user for the rooms that it replaced, those for
// the newest first. Settings for which the user has no space left are not copied.
func (s *Service) carryOver(ctx context.Context, userID string, room journal.RoomNID, olds []timeline.Replacement) error {
	for _, r := range olds {
		r.New, r.NewID = room, olds[0].NewID
		for _, carryOver := range []func(context.Context, string, timeline.Replacement) error{s.o.Data.CarryOver, s.o.Push.CarryOver} {
			err := carryOver(ctx, userID, r)
			if refused, ok := errors.AsType[*matrix.Error](err); ok && refused.RetryAfter == 0 {
				s.o.Log.InfoContext(ctx, "settings do not follow a member into an upgraded room", "user", userID, "room", r.NewID, "reason", err)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) isLocal(userID string) bool {
	_, server, err := matrix.ParseUserID(userID)
	return err == nil && server == s.o.ServerName
}
