package oauth

import (
	"strings"

	"homeserver/internal/matrix"
)

// The scope tokens, as the specification has them, and as they were as a proposal: MSC2967.
// Client-server API, "Allocated scope tokens".
const (
	scopeAPI       = "urn:matrix:client:api:*"
	scopeDevice    = "urn:matrix:client:device:"
	unstableAPI    = "urn:matrix:org.matrix.msc2967.client:api:*"
	unstableDevice = "urn:matrix:org.matrix.msc2967.client:device:"
)

// maxDeviceID bounds a device ID in bytes.
const maxDeviceID = 255

// scope is what a client asks for: access to the whole API, on one device.
type scope struct {
	// Granted has those of the tokens that are understood.
	Granted  string
	DeviceID string
}

// parseScope reads a scope. invalid_scope unless it is for the whole API, on one device. Other
// tokens, such as openid, are not granted.
func parseScope(text string) (scope, *matrix.Error) {
	var granted []string
	var s scope
	api := false
	for token := range strings.SplitSeq(text, " ") {
		id, isDevice := strings.CutPrefix(token, scopeDevice)
		if !isDevice {
			id, isDevice = strings.CutPrefix(token, unstableDevice)
		}
		switch {
		case token == scopeAPI || token == unstableAPI:
			api = true
		case isDevice && !isDeviceID(id):
			return scope{}, refuse(errInvalidScope, "the device ID must have 1 to %d characters, which a scope may have", maxDeviceID)
		case isDevice && s.DeviceID != "" && s.DeviceID != id:
			return scope{}, refuse(errInvalidScope, "the scope must name one device")
		case isDevice:
			s.DeviceID = id
		default:
			continue
		}
		granted = append(granted, token)
	}
	if !api || s.DeviceID == "" {
		return scope{}, refuse(errInvalidScope, "the scope must have %s, and %s with a device ID", scopeAPI, scopeDevice)
	}
	if s.Granted = strings.Join(granted, " "); len(s.Granted) > 4*maxDeviceID {
		return scope{}, refuse(errInvalidScope, "the scope is too long")
	}
	return s, nil
}

// isDeviceID reports whether a device may have the ID: of the characters that a scope token
// may have. RFC 6749, section 3.3.
func isDeviceID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return id != "" && len(id) <= maxDeviceID
}
