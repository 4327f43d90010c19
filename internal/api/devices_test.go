package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

func TestDevices(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	bob := c.Register("bob", "wordpass")
	phone := c.Login("alice", "wordpass")
	var list struct {
		Devices []struct {
			DeviceID string `json:"device_id"`
		} `json:"devices"`
	}
	alice.Do("GET", "/devices", nil).OK().Into(&list)
	if len(list.Devices) != 2 {
		t.Errorf("devices: %+v", list)
	}

	path := matrixtest.Path("devices", phone.DeviceID)
	alice.Do("PUT", path, `{"display_name":"Phone <1>"}`).OK()
	alice.Do("PUT", path, `{}`).OK()
	if got := alice.Do("GET", path, nil).OK().String("display_name"); got != "Phone <1>" {
		t.Errorf("display name %q", got)
	}
	alice.Do("PUT", path, `{"display_name":{}}`).Refused(400, "M_BAD_JSON")
	for _, method := range []string{"GET", "PUT"} {
		bob.Do(method, path, nil).Refused(404, "M_NOT_FOUND")
		alice.Do(method, "/devices/none", nil).Refused(404, "M_NOT_FOUND")
	}

	asksForPassword(t, alice.Do("DELETE", path, nil))
	asksForPassword(t, alice.Do("DELETE", path, `{}`))
	alice.Do("DELETE", path, map[string]any{"auth": passwordOf("alice", "wordpass")}).OK()
	phone.Do("GET", "/devices", nil).Refused(401, "M_UNKNOWN_TOKEN")
}

func TestTheNotificationSettingsOfADeviceEndWithIt(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice, phone := c.Register("alice", "wordpass"), c.Login("alice", "wordpass")
	const stable, unstable = "m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."
	gone := []string{stable + phone.DeviceID, unstable + phone.DeviceID}
	stay := []string{stable + alice.DeviceID, unstable + alice.DeviceID, "m.direct", stable}
	path := func(typ string) string { return matrixtest.Path("user", alice.UserID, "account_data", typ) }
	for _, typ := range append(gone, stay...) {
		alice.Do("PUT", path(typ), `{"is_silenced":true}`).OK()
	}
	phone.Do("POST", "/logout", nil).OK()
	for _, typ := range gone {
		alice.Do("GET", path(typ), nil).Refused(404, "M_NOT_FOUND")
	}
	for _, typ := range stay {
		alice.Do("GET", path(typ), nil).OK()
	}
}

func TestDeleteDevices(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	phone, tablet := c.Login("alice", "wordpass"), c.Login("alice", "wordpass")
	body := map[string]any{"devices": []string{phone.DeviceID, tablet.DeviceID, "none"}}
	asksForPassword(t, alice.Do("POST", "/delete_devices", body))
	body["auth"] = passwordOf("alice", "wordpass")
	alice.Do("POST", "/delete_devices", body).OK()
	phone.Do("GET", "/devices", nil).Refused(401, "M_UNKNOWN_TOKEN")
	tablet.Do("GET", "/devices", nil).Refused(401, "M_UNKNOWN_TOKEN")
	alice.Do("POST", "/delete_devices", `{}`).Refused(400, "M_MISSING_PARAM")
	alice.Do("POST", "/delete_devices", `{"devices":"a"}`).Refused(400, "M_BAD_JSON")
	alice.Do("POST", "/delete_devices", `{"devices":[1]}`).Refused(400, "M_BAD_JSON")
}
