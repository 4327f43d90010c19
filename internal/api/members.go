package api

import (
	"net/http"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/rooms"
)

// members lists the member events of a room. Section "Getting events for a
// room", GET /rooms/{roomId}/members.
func (a *API) members(r *http.Request, who auth.Session) (any, error) {
	at, err := a.queryToken(r, "at")
	if err != nil {
		return nil, err
	}
	filter := rooms.MemberFilter{
		Membership: query(r, "membership"), NotMembership: query(r, "not_membership"), At: at,
	}
	events, access, err := a.rooms.Members(r.Context(), who.UserID, param(r, "roomId"), filter)
	if err != nil {
		return nil, err
	}
	return eventsAnswer{a.format(r, who, access), "chunk", events}, nil
}

// joinedMember is what /joined_members tells of a member. Its field names are
// those of the specification, which differ from the member event's. A client may
// have put anything into that; what is no text is left out.
type joinedMember struct {
	DisplayName string `json:"display_name,omitempty"`
	AvatarURL   string `json:"avatar_url,omitempty"`
}

type joinedMembersAnswer struct {
	Joined map[string]joinedMember `json:"joined"`
}

// joinedMembers lists who is in a room, by name. Section "Getting events for a
// room", GET /rooms/{roomId}/joined_members.
func (a *API) joinedMembers(r *http.Request, who auth.Session) (any, error) {
	events, err := a.rooms.JoinedMembers(r.Context(), who.UserID, param(r, "roomId"))
	if err != nil {
		return nil, err
	}
	joined := make(map[string]joinedMember, len(events))
	for _, e := range events {
		var m joinedMember
		m.DisplayName, _ = event.StringField(e.Content(), "displayname")
		m.AvatarURL, _ = event.StringField(e.Content(), "avatar_url")
		joined[*e.StateKey] = m
	}
	return joinedMembersAnswer{joined}, nil
}
