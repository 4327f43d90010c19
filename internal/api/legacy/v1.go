package legacy

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"

	"homeserver/internal/auth"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/syncstream"
)

// Endpoints that api/v1 had in another shape than later generations. The text of that
// time is the specification of November 2015 and, for accounts, of April 2015.

// registrationFlows lists the ways to register, which were in api/v1 those to log
// in. Anybody may ask. "Registration and Login", GET /register.
func (a *api) registrationFlows(*httpapi.Request) (any, error) {
	return map[string]any{"flows": []map[string]string{{"type": uia.StagePassword}}}, nil
}

// registerV1 makes an account in one request: with a name and a password, both of
// which may be left out. The name may be a whole user ID of this server.
// M_UNKNOWN for any type but m.login.password. "Registration and Login",
// POST /register.
func (a *api) registerV1(r *httpapi.Request) (any, error) {
	var body struct {
		Type     string `json:"type"`
		User     string `json:"user"`
		UserID   string `json:"user_id"` // the first name of user
		Password string `json:"password"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Type != "" && body.Type != uia.StagePassword {
		return nil, matrix.Errorf(matrix.Unknown, "the type of a registration is %s", uia.StagePassword)
	}
	name, err := a.localName(cmp.Or(body.User, body.UserID))
	if err != nil {
		return nil, err
	}
	return a.Auth.Register(r.Context(), auth.RegisterRequest{
		Username: name, Password: body.Password, Auth: json.RawMessage(`{"type":"` + uia.StageDummy + `"}`),
	}, r.Client())
}

// localName returns the local part of a name that may be a user ID. M_INVALID_USERNAME
// for one of another server.
func (a *api) localName(name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		return name, nil
	}
	local, server, err := matrix.ParseUserID(name)
	if err != nil || server != a.ServerName {
		return "", matrix.Errorf(matrix.InvalidUsername, "accounts here are called @name:%s", a.ServerName)
	}
	return local, nil
}

// tokenRefresh refuses to refresh a token in the way of api/v1: no token of that
// kind was ever handed out. "Login", POST /tokenrefresh.
func (a *api) tokenRefresh(*httpapi.Request) (any, error) {
	return nil, &matrix.Error{
		Code: matrix.Unknown, Status: http.StatusForbidden,
		Message: "tokens are not refreshed here: log in again, or use POST /_matrix/client/v3/refresh",
	}
}

// publicRoomsV1 lists the published rooms as getPublicRooms does, and calls the
// tokens of pages by their old names. "Listing rooms", GET /publicRooms.
func (a *api) publicRoomsV1(r *httpapi.Request) (any, error) {
	since := r.Query("from")
	if since == syncstream.TokenStart {
		since = ""
	}
	limit, err := r.QueryInt("limit", 0)
	if err != nil {
		return nil, err
	}
	page, err := a.Rooms.Directory.PublicRooms(r.Context(), directory.PublicQuery{Limit: limit, Since: since})
	if err != nil {
		return nil, err
	}
	return publicRoomsV1Answer{page.Chunk, cmp.Or(page.PrevBatch, syncstream.TokenStart), cmp.Or(page.NextBatch, syncstream.TokenEnd)}, nil
}

type publicRoomsV1Answer struct {
	Chunk []*directory.RoomSummary `json:"chunk"`
	Start string                   `json:"start"`
	End   string                   `json:"end"`
}
