package event

import "encoding/json"

// RoomTypeSpace is the type of rooms that are spaces.
const RoomTypeSpace = "m.space"

// SpaceChild is how an m.space.child event puts a room among the children of a space.
type SpaceChild struct {
	// Order is where the room stands among the others; "": after those that have one.
	Order string
	// Suggested says that the space recommends the room.
	Suggested bool
}

// SpaceChild returns what an m.space.child event says, and false where the room is no
// child of the space: without a via that names a server. Client-server API,
// "m.space.child relationship".
func (e *Event) SpaceChild() (c SpaceChild, ok bool) {
	var via []any
	if json.Unmarshal(Field(e.Content, "via"), &via) != nil || len(via) == 0 {
		return SpaceChild{}, false
	}
	for _, server := range via {
		if _, isText := server.(string); !isText {
			return SpaceChild{}, false
		}
	}
	if order, _ := StringField(e.Content, "order"); isSpaceOrder(order) {
		c.Order = order
	}
	c.Suggested = string(Field(e.Content, "suggested")) == "true"
	return c, true
}

// isSpaceOrder reports whether a text is a valid order. Others count as none.
func isSpaceOrder(order string) bool {
	const longest = 50
	if len(order) > longest {
		return false
	}
	for _, c := range []byte(order) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return order != ""
}

// AllowedRooms returns the rooms whose members may join a room by its m.room.join_rules:
// the conditions of the type m.room_membership. It returns none for nil, and where they
// cannot be read. Client-server API, "Restricted rooms".
func (e *Event) AllowedRooms() []string {
	if e == nil {
		return nil
	}
	var conditions []json.RawMessage
	if json.Unmarshal(Field(e.Content, "allow"), &conditions) != nil {
		return nil
	}
	var allowed []string
	for _, c := range conditions {
		kind, _ := StringField(c, "type")
		if roomID, _ := StringField(c, "room_id"); kind == "m.room_membership" && roomID != "" {
			allowed = append(allowed, roomID)
		}
	}
	return allowed
}
