// Package api has the endpoints of the server and nothing else: routes, decoding,
// encoding. No SQL and no rule of Matrix is here, and the code that all endpoints share
// is in internal/httpapi. This package has the tests over HTTP; package server
// puts the tables of endpoints together, which are in
//
//	client    /_matrix/client, /_matrix/media and /.well-known/matrix/client, in the
//	          shape of today, in all generations that have it
//	legacy    endpoints that only earlier generations had, or had in another shape
//	server    endpoints for services and operators: /_matrix/federation, /health, /_synapse
//	pages     pages for people in a browser
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
// The row has the prefixes of the endpoint, and so its generations, and its kind of
// work, which decides its limits.
package api
