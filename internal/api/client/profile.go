package client

import (
	"encoding/json"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
)

// getProfile returns a user's whole profile. Anybody may ask. Section "Profiles",
// GET /profile/{userId}.
func (a *api) getProfile(r *httpapi.Request) (any, error) {
	return a.Profile.Get(r.Context(), r.Param("userId"))
}

// getProfileField returns one field of a profile. Anybody may ask. Section "Profiles",
// GET /profile/{userId}/{keyName}.
func (a *api) getProfileField(r *httpapi.Request) (any, error) {
	name := r.Param("keyName")
	value, err := a.Profile.Field(r.Context(), r.Param("userId"), name)
	return map[string]json.RawMessage{name: value}, err
}

// putProfileField sets a field of one's own profile. M_MISSING_PARAM if the body
// doesn't have it. Section "Profiles", PUT /profile/{userId}/{keyName}.
func (a *api) putProfileField(r *httpapi.Request, who matrix.Session) (any, error) {
	name := r.Param("keyName")
	if err := mayChangeField(who, name); err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	value, ok := body[name]
	if !ok {
		return nil, matrix.Errorf(matrix.MissingParam, "the body must have %q", httpapi.Clip(name, 64))
	}
	return httpapi.Empty{}, a.Profile.Set(r.Context(), who, r.Param("userId"), name, value)
}

// deleteProfileField removes a field from one's own profile. Section "Profiles", DELETE
// /profile/{userId}/{keyName}.
func (a *api) deleteProfileField(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := mayChangeField(who, r.Param("keyName")); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Profile.Delete(r.Context(), who, r.Param("userId"), r.Param("keyName"))
}

// mayChangeField refuses guests anything but their display name:
// M_GUEST_ACCESS_FORBIDDEN. Section "Guest Access".
func mayChangeField(who matrix.Session, name string) error {
	if who.Guest && name != profile.DisplayName {
		return httpapi.ErrGuest
	}
	return nil
}
