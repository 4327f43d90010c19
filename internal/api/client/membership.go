package client

import (
	"context"
	"encoding/json"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/rooms"
)

// reason returns the reason for a change of membership in the body, if any.
func reason(r *httpapi.Request) (string, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	err := r.Decode(&body)
	return body.Reason, err
}

type roomIDAnswer struct {
	RoomID string `json:"room_id"`
}

// joinRoom makes the user join a room by its ID. Section "Joining rooms",
// POST /rooms/{roomId}/join.
func (a *api) joinRoom(r *httpapi.Request, who matrix.Session) (any, error) {
	why, err := reason(r)
	if err != nil {
		return nil, err
	}
	join, err := a.joinAs(r, who)
	if err != nil {
		return nil, err
	}
	roomID := r.Param("roomId")
	return roomIDAnswer{roomID}, join(r.Context(), who.UserID, roomID, why)
}

// joinRoomOrAlias makes the user join a room by its ID or an alias. Section
// "Joining rooms", POST /join/{roomIdOrAlias}.
func (a *api) joinRoomOrAlias(r *httpapi.Request, who matrix.Session) (any, error) {
	join, err := a.joinAs(r, who)
	if err != nil {
		return nil, err
	}
	return a.enter(r, who, join)
}

// joinAs returns the function that makes the caller join: guests join only rooms that
// admit them, and others with third_party_signed by an invitation to an address of
// theirs. Some clients send it empty where there is nothing to prove. The other members
// of the body are added to the member event, as on other servers.
func (a *api) joinAs(r *httpapi.Request, who matrix.Session) (func(ctx context.Context, userID, roomID, reason string) error, error) {
	var body map[string]json.RawMessage
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	q := rooms.JoinRequest{Content: body, Guest: who.Guest}
	signed, err := proofOf(body["third_party_signed"])
	if err != nil && !who.Guest {
		return nil, err
	}
	return func(ctx context.Context, userID, roomID, reason string) error {
		q.UserID, q.RoomID, q.Reason = userID, roomID, reason
		if signed == nil || who.Guest {
			return a.Rooms.JoinWith(ctx, q)
		}
		return a.Invitations.Join(ctx, q, signed)
	}, nil
}

// proofOf returns third_party_signed in canonical form; nil if there is nothing in it.
func proofOf(given json.RawMessage) (json.RawMessage, error) {
	if len(given) == 0 || given[0] != '{' {
		return nil, nil
	}
	signed, err := event.Canonical(given, false)
	if err != nil || event.Field(signed, "token") == nil {
		return nil, err
	}
	return signed, nil
}

// knock asks for an invite to a room. Section "Knocking on rooms", POST
// /knock/{roomIdOrAlias}.
func (a *api) knock(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.enter(r, who, a.Rooms.Knock)
}

// enter changes the user's membership in the room of an ID or an alias.
func (a *api) enter(r *httpapi.Request, who matrix.Session, change func(ctx context.Context, userID, roomID, reason string) error) (any, error) {
	why, err := reason(r)
	if err != nil {
		return nil, err
	}
	roomID, err := a.Rooms.Directory.Resolve(r.Context(), r.Param("roomIdOrAlias"))
	if err != nil {
		return nil, err
	}
	return roomIDAnswer{roomID}, change(r.Context(), who.UserID, roomID, why)
}

// leave makes the user leave a room, reject an invite or take back a knock.
// Section "Leaving rooms", POST /rooms/{roomId}/leave.
func (a *api) leave(r *httpapi.Request, who matrix.Session) (any, error) {
	why, err := reason(r)
	if err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Rooms.Leave(r.Context(), who.UserID, r.Param("roomId"), why)
}

// forget makes the user hear no more of a room that was left. Section "Leaving
// rooms", POST /rooms/{roomId}/forget.
func (a *api) forget(r *httpapi.Request, who matrix.Session) (any, error) {
	return httpapi.Empty{}, a.Rooms.Forget(r.Context(), who.UserID, r.Param("roomId"))
}

// invite invites another user, or the owner of an address. Sections "Joining rooms" and
// "Third-party invites", POST /rooms/{roomId}/invite.
func (a *api) invite(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		thirdpartyinvite.Address
		UserID *string `json:"user_id"`
		Reason string  `json:"reason"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.UserID == nil && body.Address != (thirdpartyinvite.Address{}) {
		return httpapi.Empty{}, a.Invitations.Invite(r.Context(), who.UserID, r.Param("roomId"), body.Reason, body.Address)
	}
	return a.changeOther(r, who, a.Rooms.Invite)
}

// kick makes another user leave. Section "Leaving rooms", POST /rooms/{roomId}/kick.
func (a *api) kick(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.changeOther(r, who, a.Rooms.Kick)
}

// ban bans another user. Section "Banning users in a room",
// POST /rooms/{roomId}/ban.
func (a *api) ban(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.changeOther(r, who, a.Rooms.Ban)
}

// unban lifts a ban. Section "Banning users in a room", POST /rooms/{roomId}/unban.
func (a *api) unban(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.changeOther(r, who, a.Rooms.Unban)
}

// changeOther changes the membership of the user named in the body.
// M_MISSING_PARAM if none is.
func (a *api) changeOther(r *httpapi.Request, who matrix.Session, change func(ctx context.Context, sender, roomID, userID, reason string) error) (any, error) {
	var body struct {
		UserID string `json:"user_id"`
		Reason string `json:"reason"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.UserID == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "user_id is missing")
	}
	return httpapi.Empty{}, change(r.Context(), who.UserID, r.Param("roomId"), body.UserID, body.Reason)
}

type joinedRoomsAnswer struct {
	JoinedRooms []string `json:"joined_rooms"`
}

// joinedRooms lists the rooms that the user is in. Section "Room membership",
// GET /joined_rooms.
func (a *api) joinedRooms(r *httpapi.Request, who matrix.Session) (any, error) {
	list, err := a.Rooms.Timeline.JoinedRooms(r.Context(), who.UserID)
	return joinedRoomsAnswer{list}, err
}
