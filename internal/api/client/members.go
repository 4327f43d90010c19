package client

import (
	"context"
	"encoding/json"
	"fmt"

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

// joinedMember is a member in the answer of /joined_members. Its field names are those
// of the specification, which differ from the member event's. A client may have put
// anything into that; a value that is no text is null.
type joinedMember struct {
	DisplayName matrix.Nullable `json:"display_name"`
	AvatarURL   matrix.Nullable `json:"avatar_url"`
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
		member, err := json.Marshal(joinedMember{contentText(e.Content(), "displayname"), contentText(e.Content(), "avatar_url")})
		if err != nil {
			return fmt.Errorf("encode a member: %w", err)
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(append(event.AppendString(w.B, *e.StateKey), ':'), member...)
		if err := w.Pass(); err != nil {
			return err //nolint:wrapcheck // it is the connection's own
		}
	}
	w.B = append(w.B, `}}`...)
	return nil
}

// contentText returns a text of an event's content; empty if there is none by that name.
func contentText(content []byte, name string) matrix.Nullable {
	text, _ := event.StringField(content, name)
	return matrix.Nullable(text)
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
