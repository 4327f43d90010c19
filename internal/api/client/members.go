package client

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// members lists the member events of a room. Section "Getting events for a
// room", GET /rooms/{roomId}/members.
func (a *api) members(r *httpapi.Request, who matrix.Session) (any, error) {
	at, err := a.queryToken(r, "at")
	if err != nil {
		return nil, err
	}
	filter := timeline.MemberFilter{
		Membership: r.Query("membership"), NotMembership: r.Query("not_membership"), At: at,
	}
	events, access, err := a.Rooms.Timeline.For(who.UserID).Members(r.Context(), r.Param("roomId"), filter)
	if err != nil {
		return nil, err
	}
	return eventsAnswer{a.format(r, who, access), "chunk", events}, nil
}

// joinedMembersAnswer has the members of a room.
type joinedMembersAnswer struct{ events *timeline.Cursor }

// WriteJSON writes the members by their names.
func (j joinedMembersAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"joined":{`...)
	first := true
	for e, err := range j.events.All(ctx) {
		if err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = appendJoinedMember(w.B, *e.StateKey, e.Content())
		if err := w.Pass(); err != nil {
			return err //nolint:wrapcheck // it is the connection's own
		}
	}
	w.B = append(w.B, `}}`...)
	return nil
}

// appendJoinedMember appends a member with the name and the avatar of the member event, whose
// names differ here. A client may have put anything into that: what is no text, or empty, is
// null.
func appendJoinedMember(dst []byte, userID string, content []byte) []byte {
	dst = append(event.AppendString(dst, userID), `:{"display_name":`...)
	dst = appendText(dst, event.Field(content, "displayname"))
	dst = append(dst, `,"avatar_url":`...)
	return append(appendText(dst, event.Field(content, "avatar_url")), '}')
}

// appendText appends JSON if it is a text, and else null.
func appendText(dst, value []byte) []byte {
	if len(value) <= len(`""`) || value[0] != '"' {
		return append(dst, "null"...)
	}
	return append(dst, value...)
}

// joinedMembers returns the members of a room. Section "Getting events for a room", GET
// /rooms/{roomId}/joined_members.
func (a *api) joinedMembers(r *httpapi.Request, who matrix.Session) (any, error) {
	events, err := a.Rooms.Timeline.For(who.UserID).JoinedMembers(r.Context(), r.Param("roomId"))
	if err != nil {
		return nil, err
	}
	return joinedMembersAnswer{events}, nil
}
