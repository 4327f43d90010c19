package timeline

// NewErasedAccess is NewAccess where one user is erased since a place.
func NewErasedAccess(visibilities, memberships Changes, userID string, since Place) *Access {
	a := NewAccess(visibilities, memberships)
	a.erased = newErasures()
	a.erased.add(userID, since)
	return a
}

// Hides reports whether a message of a user is shown redacted.
func (a *Access) Hides(sender string, p Place) bool {
	return a.hides(sender, "m.room.message", false, p)
}
