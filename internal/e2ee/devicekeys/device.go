package devicekeys

import (
	"crypto/ed25519"
	"strings"

	"homeserver/internal/matrix"
)

// deviceKeys are the identity keys of a device, checked. Client-server API, "Device keys".
type deviceKeys struct {
	*object
	key       ed25519.PublicKey
	signature string // by the device's own key
}

// parseDeviceKeys checks that keys belong to the device, and that they are signed by its
// own key. M_MISSING_PARAM, M_INVALID_PARAM, M_INVALID_SIGNATURE, and the errors of
// parseObject.
func parseDeviceKeys(raw []byte, who device) (*deviceKeys, error) {
	var sent struct {
		UserID     *string           `json:"user_id"`
		DeviceID   *string           `json:"device_id"`
		Algorithms *[]string         `json:"algorithms"`
		Keys       map[string]string `json:"keys"`
	}
	o, err := parseObject(raw, maxDeviceKeysBytes, "device_keys", &sent)
	switch {
	case err != nil:
		return nil, err
	case sent.UserID == nil || sent.DeviceID == nil || sent.Algorithms == nil || sent.Keys == nil || o.signatures == nil:
		return nil, matrix.Errorf(matrix.MissingParam, "device_keys needs user_id, device_id, algorithms, keys and signatures")
	case *sent.UserID != who.UserID || *sent.DeviceID != who.DeviceID:
		return nil, matrix.Errorf(matrix.InvalidParam, "user_id and device_id must be those of the device that uploads its keys")
	case len(*sent.Algorithms) > maxAlgorithms:
		return nil, matrix.Errorf(matrix.InvalidParam, "a device has at most %d algorithms", maxAlgorithms)
	}
	for _, name := range *sent.Algorithms {
		if name == "" || len(name) > maxNameBytes {
			return nil, matrix.Errorf(matrix.InvalidParam, "an algorithm has 1 to %d bytes", maxNameBytes)
		}
	}
	d := &deviceKeys{object: o}
	if d.key, err = identityKeys(sent.Keys, who.DeviceID); err != nil {
		return nil, err
	}
	d.signature, err = d.verify(who.UserID, who.DeviceID, d.key)
	return d, err
}

// identityKeys checks the keys of a device, and returns the one that it signs with.
func identityKeys(keys map[string]string, deviceID string) (signing ed25519.PublicKey, err error) {
	for name, text := range keys {
		algorithm, ok := strings.CutSuffix(name, ":"+deviceID)
		if !ok || algorithm == "" {
			return nil, matrix.Errorf(matrix.InvalidParam, "the name of a key must be its algorithm, a colon and the device ID: %s", clip(name))
		}
		if algorithm != "ed25519" && algorithm != "curve25519" {
			continue
		}
		key, err := parseKey(name, text)
		if err != nil {
			return nil, err
		}
		if algorithm == "ed25519" {
			signing = key
		}
	}
	if signing == nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "keys needs %s%s", ed25519Prefix, clip(deviceID))
	}
	return signing, nil
}
