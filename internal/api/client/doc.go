// Package client is the endpoints of the client-server API, one file for each of its
// sections. Each is in the shape of today, and is served so in the generations that
// have it in that shape; the others are in package legacy.
package client
