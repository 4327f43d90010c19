// Package api is the endpoints of the server and nothing else: routes, decoding,
// encoding. No SQL and no rule of Matrix lives here, and what all endpoints have in
// common is in internal/httpapi. This package has the tests over HTTP; package server
// puts the tables of endpoints together, which are in
//
//	client    /_matrix/client, /_matrix/media and /.well-known/matrix/client, in the
//	          shape of today, in whatever generation that is served
//	legacy    what earlier generations had alone or in another shape
//	server    what services and operators call: /_matrix/federation, /health, /_synapse
//	pages     what people see in a browser
//
// Each has a routes.go: place, method, path, work, handler.
//
// # Adding an endpoint
//
// Write a method of api in the file named after the section of the specification, such
// as client/membership.go, and one row in client/routes.go:
//
//	func (a *api) joinedRooms(r *httpapi.Request, who matrix.Session) (any, error) {
//		list, err := a.Rooms.Timeline.JoinedRooms(r.Context(), who.UserID)
//		return joinedRoomsAnswer{list}, err
//	}
//
//	httpapi.Client.Get("/joined_rooms", httpapi.Reading, httpapi.User(a.joinedRooms)),
//
// The row says where the endpoint is served, which is of which generation it is, and
// what kind of work it is, which decides what limits it.
package api
