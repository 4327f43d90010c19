package matrix

import "net/netip"

// Session is the author of a request: a user on a device. It is all that every part may
// know of the access token of the request. The zero value is nobody.
type Session struct {
	UserID, DeviceID string
	Admin, Guest     bool
}

// Client has the properties of a client known from the connection.
type Client struct {
	Address   netip.Addr
	UserAgent string
}
