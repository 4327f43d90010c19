package client

import (
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// uploadKeys stores keys of the device that asks. Section "Key management API", POST
// /keys/upload. In older generations the path could name the device.
func (a *api) uploadKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	if id := r.Param("deviceId"); id != "" && id != who.DeviceID {
		return nil, matrix.Errorf(matrix.InvalidParam, "a device uploads its own keys, and this is not its ID")
	}
	var body devicekeys.UploadRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Keys.Upload(r.Context(), who, body)
}

// queryKeys returns the keys of users and their devices. POST /keys/query.
func (a *api) queryKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	var body devicekeys.QueryRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Keys.Query(r.Context(), who, body)
}
