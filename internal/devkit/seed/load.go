package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/auth"
	"homeserver/internal/media"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/profile"
	"homeserver/internal/progress"
	"homeserver/internal/rooms"
)

const (
	// usersAtOnce and roomsAtOnce bound what is loaded at the same time. The rooms share the groups of the journal.
	usersAtOnce = 8
	roomsAtOnce = 32
)

// Services are those by which a seed is loaded.
type Services struct {
	ServerName  string
	Accounts    *auth.Service
	Profiles    *profile.Service
	Rooms       *rooms.Service
	Media       *media.Service
	Receipts    *receipts.Service
	AccountData *accountdata.Service
}

// Loaded is what was loaded.
type Loaded struct {
	// Users has an entry for each device.
	Users []LoadedUser
	Rooms []LoadedRoom
}

// LoadedUser is a device of a user.
type LoadedUser struct {
	UserID, DeviceID, AccessToken, Password string
	Admin                                   bool
}

// LoadedRoom is a room, with its name in the file, if it has one.
type LoadedRoom struct{ ID, RoomID, Alias, Name string }

// Load fills a server, and shows to a person who waits at out how far it has come. The first error ends it, with the
// place in the file.
func Load(ctx context.Context, services *Services, s *Seed, out io.Writer) (*Loaded, error) {
	l := &loader{Services: services, seed: s, now: s.Now.fixed, roomIDs: make([]string, len(s.Rooms)), byName: map[string]string{}}
	if l.now.IsZero() {
		l.now = time.Now()
	}
	l.bar = progress.New(out, "Loading the seed", s.size())
	defer l.bar.Stop()
	for _, step := range []func(context.Context) error{l.users, l.makeRooms, l.fillRooms, l.directChats} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	l.bar.Done()
	return l.loaded(), nil
}

// loader loads one seed.
type loader struct {
	*Services
	seed *Seed
	now  time.Time
	bar  *progress.Bar
	// devices are those of each user, in the order of the file.
	devices [][]LoadedUser
	// roomIDs are those of the rooms, in the order of the file, and byName the same by their names there.
	roomIDs []string
	byName  map[string]string
}

// size returns how many steps the loading has.
func (s *Seed) size() int64 {
	n := len(s.Users) + len(s.Rooms)
	for i := range s.Rooms {
		r := &s.Rooms[i]
		n += len(r.Members) + len(r.State)
		for j := range r.Messages {
			n += max(1, r.Messages[j].Repeat)
		}
	}
	return int64(n)
}

// located is an error with its place in the file.
type located struct{ error }

// Unwrap returns the error itself.
func (l located) Unwrap() error { return l.error }

// failed adds the place in the file to an error, unless it has one.
func (l *loader) failed(line int, key string, err error) error {
	switch {
	case errors.As(err, new(located)):
		return err
	case l.seed.path == "":
		return located{fmt.Errorf("%s: %w", key, err)}
	}
	return located{fmt.Errorf("%s:%d: %s: %w", l.seed.path, line, key, err)}
}

// each runs a function for the numbers from 0 to n, several at once.
func each(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

func (l *loader) user(name string) string { return userID(name, l.ServerName) }

func (l *loader) loaded() *Loaded {
	all := &Loaded{}
	for _, devices := range l.devices {
		all.Users = append(all.Users, devices...)
	}
	for i := range l.seed.Rooms {
		r := &l.seed.Rooms[i]
		room := LoadedRoom{ID: r.ID.Value, RoomID: l.roomIDs[i], Name: r.Name}
		if r.Alias != "" {
			room.Alias = "#" + r.Alias + ":" + l.ServerName
		}
		all.Rooms = append(all.Rooms, room)
	}
	return all
}
