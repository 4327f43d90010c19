// Package control is around the server of "homeserver dev", for the tests of clients and bots: it
// has endpoints under [Prefix] by which a test makes the server fail, reads what clients have sent,
// moves the clock, switches rate limits on, and sets the server back.
//
// # The way of a request
//
//	Kit.Around    the handler around the server's own
//	  /_homeserver/dev/…  → checkCaller: only from this machine → the endpoints in routes.go:
//	    faults       POST one, GET or DELETE all, DELETE faults/{faultId}
//	    requests     GET those that a filter picks, now or once there are enough; DELETE all
//	    clock        GET the time, POST moves it forward
//	    rate-limits  GET and PUT whether there are any
//	    reset        POST sets the server back; only if Options.Reset is there
//	  anything else       → filter.Of: endpoint and caller → faults: the fault that it meets, if any
//	                      → the server, or the fault → recorder: what was sent
//
// # Promises
//
//   - What clients see is changed only where a test has asked for it.
//   - The endpoints answer requests from this machine to a loopback address of it, by a name that
//     only this machine has, so that no web page of others reaches them. With Options.FromNetwork
//     they answer other machines, too, still by names that lead nowhere else.
//   - What is kept is bounded: 16 MiB of requests, 64 KiB of the body of each, 1000 faults.
//   - A Kit may outlive a server: Around may be called for another, with the same faults and
//     requests.
package control
