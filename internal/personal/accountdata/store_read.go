package accountdata

import (
	"context"
	"fmt"
	"slices"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// Query asks for account data of a user.
type Query struct {
	UserID string
	// After and UpTo ask for the items that were set in (After, UpTo]; none where they
	// are equal.
	After, UpTo journal.Position
	// Rooms are those of which the items that were set before are asked for, too.
	Rooms []journal.RoomNID
	// Wants chooses items; it is called more than once for one.
	Wants func(room journal.RoomNID, typ string) bool
}

// Parts is account data, by room, that is too much to be held at once. An item that is
// set anew before it is read is missing: it is one of after UpTo then.
type Parts = reserve.Parts[journal.RoomNID, *Item]

// Read reads account data in the order of setting. If that is too much for one read, it
// returns parts instead, each room's in that order.
func (s *Service) Read(ctx context.Context, q Query) ([]*Item, *Parts, error) {
	where, args := q.condition()
	if where == "" {
		return nil, nil, nil
	}
	before := reserve.Used(ctx)
	items, more, err := reserve.CollectSome(ctx, reserve.Bytes(ctx), func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, selectItems+`WHERE i.user_id = $1 AND `+where+` ORDER BY i.position`, args...)
		return rows
	}, scanItem, (*Item).cost)
	if err != nil {
		return nil, nil, fmt.Errorf("read the account data of %s: %w", q.UserID, err)
	}
	if !more {
		return s.sound(ctx, q, items), nil, nil
	}
	reserve.Drop(ctx, reserve.Used(ctx)-before)
	parts, err := s.parts(ctx, q)
	return nil, parts, err
}

// condition returns the SQL condition of the query's items; "": it selects none.
func (q *Query) condition() (where string, args []any) {
	switch changes := q.After < q.UpTo; {
	case changes && len(q.Rooms) > 0:
		return `(i.position > $2 AND i.position <= $3 OR i.position <= $2 AND i.room_nid = ANY($4))`,
			[]any{q.UserID, q.After, q.UpTo, q.Rooms}
	case changes:
		return `i.position > $2 AND i.position <= $3`, []any{q.UserID, q.After, q.UpTo}
	case len(q.Rooms) > 0:
		return `i.position <= $2 AND i.room_nid = ANY($3)`, []any{q.UserID, q.After, q.Rooms}
	}
	return "", nil
}

// OfUsers reads the items of some types that some users have for their whole accounts, without
// damaged ones.
func (s *Service) OfUsers(ctx context.Context, userIDs, types []string) ([]*Item, error) {
	items, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, selectItems+`
			WHERE i.user_id = ANY($1) AND i.room_nid = 0 AND i.type = ANY($2)`, userIDs, types)
		return rows
	}, scanItem, (*Item).cost)
	if err != nil {
		return nil, fmt.Errorf("read account data of %d users: %w", len(userIDs), err)
	}
	return slices.DeleteFunc(items, func(i *Item) bool { return s.isDamaged(ctx, i) }), nil
}

// OfAllRooms reads the items of some types that a user has, for the whole account and for all rooms,
// without damaged ones.
func (s *Service) OfAllRooms(ctx context.Context, userID string, types []string) ([]*Item, error) {
	items, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, selectItems+`WHERE i.user_id = $1 AND i.type = ANY($2)`, userID, types)
		return rows
	}, scanItem, (*Item).cost)
	if err != nil {
		return nil, fmt.Errorf("read account data of %s: %w", userID, err)
	}
	return slices.DeleteFunc(items, func(i *Item) bool { return s.isDamaged(ctx, i) }), nil
}

const selectItems = `SELECT i.user_id, i.room_nid, i.type, i.content FROM account_data i `

func scanItem(row pgx.CollectableRow) (*Item, error) {
	i := &Item{}
	return i, row.Scan(&i.UserID, &i.Room, &i.Type, (*[]byte)(&i.Content))
}

// costOf estimates the memory of an item, once as a value and once as it is encoded.
func costOf(content int) int {
	const besideContent = 400
	return 2*content + besideContent
}

func (i *Item) cost() int { return costOf(len(i.Content)) }

// sound leaves out items that are not asked for, and damaged ones.
func (s *Service) sound(ctx context.Context, q Query, items []*Item) []*Item {
	return slices.DeleteFunc(items, func(i *Item) bool { return !q.Wants(i.Room, i.Type) || s.isDamaged(ctx, i) })
}

// parts finds out in which parts the items can be read.
func (s *Service) parts(ctx context.Context, q Query) (*Parts, error) {
	where, args := q.condition()
	var stretches []reserve.Stretch[journal.RoomNID]
	err := reserve.Read(ctx, func(c *reserve.Counter) error {
		stretches = nil
		rows, _ := s.pool.Query(ctx, `
			SELECT i.room_nid, i.type, i.position, octet_length(i.content) FROM account_data i
			WHERE i.user_id = $1 AND `+where+` ORDER BY i.room_nid, i.position`, args...)
		var room journal.RoomNID
		var typ string
		var at int64
		var size int
		_, err := pgx.ForEachRow(rows, []any{&room, &typ, &at, &size}, func() error {
			if !q.Wants(room, typ) {
				return nil
			}
			cost := int64(costOf(size))
			if n := len(stretches); n > 0 && stretches[n-1].Key == room && stretches[n-1].Cost+cost <= reserve.PartCost {
				stretches[n-1].UpTo = at
				stretches[n-1].Cost += cost
				return nil
			}
			stretches = append(stretches, reserve.Stretch[journal.RoomNID]{Key: room, After: at - 1, UpTo: at, Cost: cost})
			return c.Add(2 * int(unsafe.Sizeof(stretches[0])))
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("measure the account data of %s: %w", q.UserID, err)
	}
	return reserve.NewParts(ctx, stretches, func(ctx context.Context, part []reserve.Stretch[journal.RoomNID]) (map[journal.RoomNID][]*Item, error) {
		return s.part(ctx, q, part)
	})
}

// part reads some of the parts.
func (s *Service) part(
	ctx context.Context, q Query, part []reserve.Stretch[journal.RoomNID],
) (map[journal.RoomNID][]*Item, error) {
	room, after, upTo := reserve.Columns(part)
	items, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, selectItems+`
			JOIN unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS w(room_nid, after, up_to)
				ON i.room_nid = w.room_nid AND i.position > w.after AND i.position <= w.up_to
			WHERE i.user_id = $1 ORDER BY i.position`, q.UserID, room, after, upTo)
		return rows
	}, scanItem, (*Item).cost)
	if err != nil {
		return nil, fmt.Errorf("read the account data of %s: %w", q.UserID, err)
	}
	found := make(map[journal.RoomNID][]*Item, len(part))
	for _, i := range s.sound(ctx, q, items) {
		found[i.Room] = append(found[i.Room], i)
	}
	return found, nil
}
