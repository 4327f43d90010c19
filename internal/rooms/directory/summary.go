package directory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// RoomSummary is what is shown of a room to users who are not in it: in the published
// directory, in the tree of a space and by itself. Client-server API, RoomSummary. Aliases
// is for clients of the time before canonical aliases, in the directory alone.
type RoomSummary struct {
	RoomID         string   `json:"room_id"`
	Joined         int64    `json:"num_joined_members"`
	Name           string   `json:"name,omitempty"`
	Topic          string   `json:"topic,omitempty"`
	AvatarURL      string   `json:"avatar_url,omitempty"`
	CanonicalAlias string   `json:"canonical_alias,omitempty"`
	Aliases        []string `json:"aliases,omitempty"`
	JoinRule       string   `json:"join_rule"`
	RoomType       string   `json:"room_type,omitempty"`
	WorldReadable  bool     `json:"world_readable"`
	GuestCanJoin   bool     `json:"guest_can_join"`
	Encryption     string   `json:"encryption,omitempty"`
	RoomVersion    string   `json:"room_version,omitempty"`

	nid journal.RoomNID
}

// Number returns the number of the room.
func (r *RoomSummary) Number() journal.RoomNID { return r.nid }

// Cost estimates the memory of a summary, once as a value and once as it is encoded.
func (r *RoomSummary) Cost() int {
	const structs, each = 600, 32
	aliases := 0
	for _, alias := range r.Aliases {
		aliases += each + len(alias)
	}
	return structs + 2*(aliases+len(r.RoomID)+len(r.Name)+len(r.Topic)+len(r.AvatarURL)+len(r.CanonicalAlias)+
		len(r.JoinRule)+len(r.RoomType)+len(r.Encryption)+len(r.RoomVersion))
}

// shownTypes are the types of state events that summaries show.
var shownTypes = []string{
	event.TypeCreate, event.TypeJoinRules, event.TypeAvatar, event.TypeCanonicalAlias, event.TypeEncryption,
	event.TypeGuestAccess, event.TypeHistoryVisibility, event.TypeName, event.TypeTopic,
}

// shownState reads what a room p shows of its state of the types $1.
const shownState = `ARRAY(SELECT ARRAY[s.type, s.value] FROM room_state s
	WHERE s.room_nid = p.room_nid AND s.type = ANY($1) AND s.state_key = '' AND s.replaced_at IS NULL AND s.value IS NOT NULL)`

// summaryRow has the columns that a summary is made of.
type summaryRow struct {
	nid             journal.RoomNID
	roomID, version string
	joined          int64
	state           [][]string
}

// summary makes the summary, and empties the row for the next one.
func (row *summaryRow) summary() RoomSummary {
	r := RoomSummary{nid: row.nid, RoomID: row.roomID, RoomVersion: row.version, Joined: row.joined, JoinRule: event.JoinRuleInvite}
	for _, s := range row.state {
		r.show(s[0], s[1])
	}
	row.state = nil
	return r
}

// show sets the field that a state event of the room has the value for.
func (r *RoomSummary) show(evType, value string) {
	switch evType {
	case event.TypeCreate:
		r.RoomType = value
	case event.TypeJoinRules:
		r.JoinRule = value
	case event.TypeAvatar:
		r.AvatarURL = value
	case event.TypeCanonicalAlias:
		r.CanonicalAlias = value
	case event.TypeEncryption:
		r.Encryption = value
	case event.TypeGuestAccess:
		r.GuestCanJoin = value == event.GuestsCanJoin
	case event.TypeHistoryVisibility:
		r.WorldReadable = value == event.VisibilityWorldReadable
	case event.TypeName:
		r.Name = value
	case event.TypeTopic:
		r.Topic = value
	}
}

// Summaries reads summaries of rooms, in the order in which they are named: the first in
// any case, and of the others as many as one read may bring; more reports whether there are
// others. It asks nobody whether they
// may know of the rooms.
func (s *Service) Summaries(ctx context.Context, rooms []journal.RoomNID) (summaries []RoomSummary, more bool, err error) {
	var row summaryRow
	summaries, more, err = reserve.CollectSome(ctx, reserve.Bytes(ctx), func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT p.room_nid, p.room_id, p.version, p.joined_members, `+shownState+`
			FROM unnest($2::bigint[]) WITH ORDINALITY AS w(room_nid, nth)
			JOIN rooms p USING (room_nid) ORDER BY nth`, shownTypes, rooms)
		return rows
	}, func(r pgx.CollectableRow) (RoomSummary, error) {
		err := r.Scan(&row.nid, &row.roomID, &row.version, &row.joined, &row.state)
		return row.summary(), err
	}, func(r RoomSummary) int { return r.Cost() })
	if err != nil {
		return nil, false, fmt.Errorf("read summaries of rooms: %w", err)
	}
	return summaries, more, nil
}
