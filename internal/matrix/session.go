package matrix

import "net/netip"

// Session is who makes a request, which is all that every part may know of the access
// token that came with it:
// a user on a device. The zero value is nobody.
type Session struct {
	UserID, DeviceID string
	Admin, Guest     bool
}

// Client is what the connection says about who is asking.
type Client struct {
	Address   netip.Addr
	UserAgent string
}
