// Package transactions sends application services what concerns them: Application Service
// API, "Pushing events" and "Pushing ephemeral data", with messages to devices, device lists
// and counts of one-time keys as MSC2409 and MSC3202 have them.
//
// # Promises
//
//   - Each service gets every event that concerns it at least once and in the order of the
//     journal. A transaction that is repeated, also after a restart, has the same ID and the
//     same bytes: it is stored before it is sent for the first time, until it is acknowledged.
//   - An event concerns a service if, where it stands in the journal, a user of the service is
//     joined to its room, is the one whose membership it changes, or has sent it; and if the ID
//     of the room, or an alias that it has now, is in a namespace. That is known in memory, for the rooms
//     in which something happens.
//   - A service that is slow, hangs or fails delays neither commits nor other services. No
//     transaction of the database is open while a service is waited for. It is tried again
//     after growing times, which survive a restart, and soon when it calls this server.
//   - A service that was away catches up by transactions of up to 100 events, whatever
//     it has missed, without its being held in memory. After 30 days of failing it loses
//     what it has not got.
//   - A new service begins with what comes then. One without a URL gets nothing.
//   - Messages to the devices of a service that gets device changes are deleted once it has
//     acknowledged them.
//
// # Data flow
//
//	journal ─▶ lane of a service: what concerns it? ─▶ transaction ─▶ table app_service_progress ─▶ PUT
//	                                                                          ▲                      │ 200
//	                                                                          └──── position ◀───────┘
//
// One process leads, with a goroutine for each service. What it writes fails once another
// process leads.
package transactions
