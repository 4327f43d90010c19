package matrix

import "net/netip"

// Session is who makes a request: a user on a device. It is all that every part may know
// of the access token that came with the request. The zero value is nobody.
type Session struct {
	UserID, DeviceID string
	Admin, Guest     bool
}

// Client is what the connection says about who is asking.
type Client struct {
	Address   netip.Addr
	UserAgent string
}
