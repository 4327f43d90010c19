// Package api is the endpoints of the server and nothing else: routes, decoding,
// encoding. No SQL and no rule of Matrix lives here, and what all endpoints have in
// common is in internal/httpapi.
//
// # Adding an endpoint
//
// Write a method of [API] in the file named after what it is about, such as
// membership.go, and one row in routes.go:
//
//	func (a *API) joinedRooms(r *httpapi.Request, who matrix.Session) (any, error) {
//		list, err := a.rooms.Timeline.JoinedRooms(r.Context(), who.UserID)
//		return joinedRoomsAnswer{list}, err
//	}
//
//	httpapi.Client.Get("/joined_rooms", httpapi.Reading, httpapi.User(a.joinedRooms)),
//
// The row says where the endpoint is served, which is of which generation it is, and
// what kind of work it is, which decides what limits it.
package api
