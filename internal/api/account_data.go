package api

import (
	"encoding/json"
	"net/http"

	"homeserver/internal/matrix"
)

var errOtherUser = matrix.Errorf(matrix.Forbidden, "This belongs to another user")

// own refuses to serve a user at the path of another: M_FORBIDDEN.
func own(r *http.Request, who matrix.Session) error {
	if param(r, "userId") != who.UserID {
		return errOtherUser
	}
	return nil
}

// getAccountData gives a piece of one's own account data, of the account or of
// a room. Section "Client Config", GET /user/{userId}/account_data/{type} and
// GET /user/{userId}/rooms/{roomId}/account_data/{type}.
func (a *API) getAccountData(r *http.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	if param(r, "type") == "m.push_rules" && param(r, "roomId") == "" {
		return a.getPushRules(r, who)
	}
	return a.data.Get(r.Context(), who.UserID, param(r, "roomId"), param(r, "type"))
}

// putAccountData stores a piece of one's own account data. Section "Client
// Config", PUT /user/{userId}/account_data/{type} and
// PUT /user/{userId}/rooms/{roomId}/account_data/{type}.
func (a *API) putAccountData(r *http.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	content, err := rawObject(r)
	if err != nil {
		return nil, err
	}
	return empty{}, a.data.Set(r.Context(), who.UserID, param(r, "roomId"), param(r, "type"), content)
}

type tagsAnswer struct {
	Tags map[string]json.RawMessage `json:"tags"`
}

// getTags lists the tags of a room. Section "Room Tagging",
// GET /user/{userId}/rooms/{roomId}/tags.
func (a *API) getTags(r *http.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	tags, err := a.data.Tags(r.Context(), who.UserID, param(r, "roomId"))
	return tagsAnswer{tags}, err
}

// putTag sets a tag of a room. Section "Room Tagging",
// PUT /user/{userId}/rooms/{roomId}/tags/{tag}.
func (a *API) putTag(r *http.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	content := json.RawMessage(`{}`)
	if err := decode(r, &content); err != nil {
		return nil, err
	}
	return empty{}, a.data.SetTag(r.Context(), who.UserID, param(r, "roomId"), param(r, "tag"), content)
}

// deleteTag takes a tag away from a room. Section "Room Tagging",
// DELETE /user/{userId}/rooms/{roomId}/tags/{tag}.
func (a *API) deleteTag(r *http.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	return empty{}, a.data.DeleteTag(r.Context(), who.UserID, param(r, "roomId"), param(r, "tag"))
}
