package api

import (
	"encoding/json"
	"net/http"

	"homeserver/internal/matrix"
	"homeserver/internal/profile"
)

// getProfile is a user's whole profile. Anybody may ask. Section "Profiles",
// GET /profile/{userId}.
func (a *API) getProfile(r *http.Request) (any, error) {
	return a.profile.Get(r.Context(), param(r, "userId"))
}

// getProfileField is one field of a profile. Anybody may ask. Section "Profiles",
// GET /profile/{userId}/{keyName}.
func (a *API) getProfileField(r *http.Request) (any, error) {
	name := param(r, "keyName")
	value, err := a.profile.Field(r.Context(), param(r, "userId"), name)
	return map[string]json.RawMessage{name: value}, err
}

// putProfileField sets a field of one's own profile. M_MISSING_PARAM if the body
// doesn't have it. Section "Profiles", PUT /profile/{userId}/{keyName}.
func (a *API) putProfileField(r *http.Request, who matrix.Session) (any, error) {
	name := param(r, "keyName")
	if err := mayChangeField(who, name); err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	value, ok := body[name]
	if !ok {
		return nil, matrix.Errorf(matrix.MissingParam, "The body must have %q", clip(name, 64))
	}
	return empty{}, a.profile.Set(r.Context(), who, param(r, "userId"), name, value)
}

// deleteProfileField takes a field out of one's own profile. Section "Profiles",
// DELETE /profile/{userId}/{keyName}.
func (a *API) deleteProfileField(r *http.Request, who matrix.Session) (any, error) {
	if err := mayChangeField(who, param(r, "keyName")); err != nil {
		return nil, err
	}
	return empty{}, a.profile.Delete(r.Context(), who, param(r, "userId"), param(r, "keyName"))
}

// mayChangeField refuses guests anything but their display name:
// M_GUEST_ACCESS_FORBIDDEN. Section "Guest Access".
func mayChangeField(who matrix.Session, name string) error {
	if who.Guest && name != profile.DisplayName {
		return errGuest
	}
	return nil
}
