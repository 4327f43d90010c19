package client

import (
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// uploadKeys stores keys of the device that asks. Section "Key management API", POST
// /keys/upload. In older generations the path could name the device.
func (a *api) uploadKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	var body devicekeys.UploadRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if id := r.Param("deviceId"); id != "" && id != who.DeviceID {
		return nil, matrix.Errorf(matrix.InvalidParam, "a device uploads its own keys, and this is not its ID")
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

// claimsAtOnce is how many devices one claim may be for; it counts as one more change for
// each so many.
const claimsAtOnce = 100

// claimKeys gives out one-time keys of devices. POST /keys/claim.
func (a *api) claimKeys(r *httpapi.Request, _ matrix.Session) (any, error) {
	var body devicekeys.ClaimRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if more := body.Devices() / claimsAtOnce; more > 0 {
		if err := r.Charge(ratelimit.Changes, more); err != nil {
			return nil, err
		}
	}
	return a.Keys.Claim(r.Context(), body)
}

// uploadSigningKeys stores cross-signing keys of the user who asks, after interactive
// authentication where it replaces some. Section "Cross-signing", POST
// /keys/device_signing/upload.
func (a *api) uploadSigningKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	var body devicekeys.SigningKeysRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Keys.UploadSigningKeys(r.Context(), who, body)
}

// uploadSignatures stores signatures that the user who asks has made. POST
// /keys/signatures/upload.
func (a *api) uploadSignatures(r *httpapi.Request, who matrix.Session) (any, error) {
	var body devicekeys.SignaturesRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Keys.UploadSignatures(r.Context(), who, body)
}

// keyChanges returns whose keys have changed between two tokens of /sync. GET /keys/changes.
func (a *api) keyChanges(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Stream.KeyChanges(r.Context(), who.UserID, r.Query("from"), r.Query("to"))
}
