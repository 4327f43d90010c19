package client

import (
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type dehydratedDeviceAnswer struct {
	DeviceID string `json:"device_id"`
}

// putDehydratedDevice makes a dehydrated device with its keys, in place of the one that there
// is. MSC3814, PUT /dehydrated_device.
func (a *api) putDehydratedDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	var body devicekeys.DehydrateRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := a.Keys.Dehydrate(r.Context(), who.UserID, body); err != nil {
		return nil, err
	}
	return dehydratedDeviceAnswer{*body.DeviceID}, nil
}

// getDehydratedDevice returns the dehydrated device. GET /dehydrated_device.
func (a *api) getDehydratedDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Keys.Dehydrated(r.Context(), who.UserID)
}

// deleteDehydratedDevice deletes the dehydrated device. DELETE /dehydrated_device.
func (a *api) deleteDehydratedDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	id, err := a.Keys.DeleteDehydrated(r.Context(), who.UserID)
	return dehydratedDeviceAnswer{id}, err
}
