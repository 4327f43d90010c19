package client

import (
	"encoding/json"

	"homeserver/internal/auth/session"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type devicesAnswer struct {
	Devices []session.Device `json:"devices"`
}

// listDevices lists the devices of the user who asks. Section "Device
// Management", GET /devices.
func (a *api) listDevices(r *httpapi.Request, who matrix.Session) (any, error) {
	devices, err := a.Auth.Sessions.Devices(r.Context(), who.UserID)
	return devicesAnswer{devices}, err
}

// getDevice returns one device of the user who asks. GET /devices/{deviceId}.
func (a *api) getDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Auth.Sessions.Device(r.Context(), who.UserID, r.Param("deviceId"))
}

type deviceRequest struct {
	DisplayName *string `json:"display_name"`
}

// putDevice renames a device of the user who asks; an application service makes it as well, if
// there is none: 201. PUT /devices/{deviceId}.
func (a *api) putDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	var body deviceRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if who.AppService != "" {
		created, err := a.Auth.Sessions.PutDevice(r.Context(), who.UserID, r.Param("deviceId"), body.DisplayName)
		if created {
			return httpapi.Created{}, err
		}
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Auth.Sessions.RenameDevice(r.Context(), who.UserID, r.Param("deviceId"), body.DisplayName)
}

type deleteDeviceRequest struct {
	Auth json.RawMessage `json:"auth"`
}

// deleteDevice deletes a device of the user who asks, after interactive
// authentication. DELETE /devices/{deviceId}.
func (a *api) deleteDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	var body deleteDeviceRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Auth.Sessions.DeleteDevice(r.Context(), who, r.Param("deviceId"), body.Auth)
}

type deleteDevicesRequest struct {
	Devices []string        `json:"devices"`
	Auth    json.RawMessage `json:"auth"`
}

// deleteDevices deletes several devices of the user who asks, after interactive
// authentication. M_MISSING_PARAM without devices. POST /delete_devices.
func (a *api) deleteDevices(r *httpapi.Request, who matrix.Session) (any, error) {
	var body deleteDevicesRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Devices == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "devices is missing")
	}
	return httpapi.Empty{}, a.Auth.Sessions.DeleteDevices(r.Context(), who, body.Devices, body.Auth)
}
