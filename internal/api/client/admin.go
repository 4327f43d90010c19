package client

import (
	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// whois lists from where a user uses the server. Section "Server Administration", GET
// /admin/whois/{userId}.
func (a *api) whois(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Auth.Sessions.Whois(r.Context(), who, r.Param("userId"))
}

type lockAnswer struct {
	Locked bool `json:"locked"`
}

type suspensionAnswer struct {
	Suspended bool `json:"suspended"`
}

// getLock reports to an administrator whether a user's account is locked. Section "Server Administration", GET
// /admin/lock/{userId}.
func (a *api) getLock(r *httpapi.Request, who matrix.Session) (any, error) {
	now, err := a.Auth.Moderation(r.Context(), who, r.Param("userId"))
	return lockAnswer{now.Locked}, err
}

// putLock locks a user's account, or unlocks it, for an administrator. Section "Server Administration", PUT
// /admin/lock/{userId}.
func (a *api) putLock(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Locked *bool `json:"locked"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Locked == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "locked is missing")
	}
	return lockAnswer{*body.Locked}, a.Auth.Moderate(r.Context(), who, r.Param("userId"), auth.Change{Locked: body.Locked})
}

// getSuspension reports to an administrator whether a user's account is suspended. Section "Server Administration", GET
// /admin/suspend/{userId}.
func (a *api) getSuspension(r *httpapi.Request, who matrix.Session) (any, error) {
	now, err := a.Auth.Moderation(r.Context(), who, r.Param("userId"))
	return suspensionAnswer{now.Suspended}, err
}

// putSuspension suspends a user's account, or ends that, for an administrator. Section "Server Administration", PUT
// /admin/suspend/{userId}.
func (a *api) putSuspension(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Suspended *bool `json:"suspended"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Suspended == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "suspended is missing")
	}
	return suspensionAnswer{*body.Suspended}, a.Auth.Moderate(r.Context(), who, r.Param("userId"), auth.Change{Suspended: body.Suspended})
}
