package matrix

// Session is who makes a request, which is all that every part may know of the access
// token that came with it:
// a user on a device. The zero value is nobody.
type Session struct {
	UserID, DeviceID string
	Admin, Guest     bool
}
