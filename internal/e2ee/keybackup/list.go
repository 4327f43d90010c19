package keybackup

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"homeserver/internal/reserve"
)

// partKeys and partBytes bound what is read at once of a backup; partCost is what that takes
// in memory at most, since the last key may go beyond.
const (
	partKeys  = 500
	partBytes = 256 << 10
	partCost  = 2 * (partBytes + 64<<10 + partKeys*besideData)
)

// List is the keys of a backup, or of one of its rooms, by their rooms and sessions. They are
// read while they are gone through, part by part, so that there need not be room for all of
// them. It is not for concurrent use.
type List struct {
	s      *Service
	backup int64
	room   string // "": all

	next part
	held int64
}

// part is some keys of a list.
type part struct {
	keys []*Key
	more bool // there are more after them
	last Key  // the last one that was looked at: its RoomID and SessionID
}

// Keys returns the keys of a backup: those of a room, or with "" all. M_NOT_FOUND where there
// is no such backup. Client-server API, GET /room_keys/keys.
func (s *Service) Keys(ctx context.Context, userID, version, roomID string) (*List, error) {
	backup, err := s.Backup(ctx, userID, version)
	if err != nil {
		return nil, err
	}
	l := &List{s: s, backup: backup.id, room: roomID, next: part{more: true, last: Key{RoomID: roomID}}}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	if l.next.more {
		// So that it need not wait for memory once the answer has begun. The next part takes the place
		// of this one.
		err = reserve.Ahead(ctx, max(0, partCost-l.held))
	}
	return l, err
}

// All returns the keys one by one, until an error. None must be kept when the next is asked
// for.
func (l *List) All(ctx context.Context) iter.Seq2[*Key, error] {
	return func(yield func(*Key, error) bool) {
		for {
			for _, k := range l.next.keys {
				if !yield(k, nil) {
					return
				}
			}
			if !l.next.more {
				return
			}
			if err := l.read(ctx); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// read reads the next part in place of the last one.
func (l *List) read(ctx context.Context) error {
	reserve.Drop(ctx, l.held)
	l.held = 0
	before := reserve.Used(ctx)
	next, err := l.s.readPart(ctx, l.backup, l.room, &l.next.last)
	if err != nil {
		return err
	}
	l.next, l.held = next, reserve.Used(ctx)-before
	return nil
}

var errNoObject = errors.New("its session_data is no JSON object")

// report says that a key cannot be read.
func (s *Service) report(ctx context.Context, backup int64, k *Key) {
	s.damage.Found(ctx, fmt.Sprintf("key of session %s in room %s of key backup %d", k.SessionID, k.RoomID, backup), errNoObject)
}
