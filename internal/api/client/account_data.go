package client

import (
	"encoding/json"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// getAccountData returns a piece of one's own account data, of the account or of a
// room. Section "Client Config", GET /user/{userId}/account_data/{type} and GET
// /user/{userId}/rooms/{roomId}/account_data/{type}.
func (a *api) getAccountData(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	if r.Param("type") == "m.push_rules" && r.Param("roomId") == "" {
		return a.getPushRules(r, who)
	}
	return a.Data.Get(r.Context(), who.UserID, r.Param("roomId"), r.Param("type"))
}

// putAccountData stores a piece of one's own account data. Section "Client
// Config", PUT /user/{userId}/account_data/{type} and
// PUT /user/{userId}/rooms/{roomId}/account_data/{type}.
func (a *api) putAccountData(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	content, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Data.Set(r.Context(), who.UserID, r.Param("roomId"), r.Param("type"), content)
}

type tagsAnswer struct {
	Tags map[string]json.RawMessage `json:"tags"`
}

// getTags lists the tags of a room. Section "Room Tagging",
// GET /user/{userId}/rooms/{roomId}/tags.
func (a *api) getTags(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	tags, err := a.Data.Tags(r.Context(), who.UserID, r.Param("roomId"))
	return tagsAnswer{tags}, err
}

// putTag sets a tag of a room. Section "Room Tagging",
// PUT /user/{userId}/rooms/{roomId}/tags/{tag}.
func (a *api) putTag(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	content := json.RawMessage(`{}`)
	if err := r.Decode(&content); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Data.SetTag(r.Context(), who.UserID, r.Param("roomId"), r.Param("tag"), content)
}

// deleteTag removes a tag from a room. Section "Room Tagging", DELETE
// /user/{userId}/rooms/{roomId}/tags/{tag}.
func (a *api) deleteTag(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Data.DeleteTag(r.Context(), who.UserID, r.Param("roomId"), r.Param("tag"))
}
