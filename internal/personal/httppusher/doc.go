// Package httppusher sends notifications to push gateways: client-server API, "Push
// Notifications", and the Push Gateway API.
//
// Promises:
//
//   - Each pusher is sent every notification of its user at least once and in order. It is
//     sent one twice only after a crash, or where its gateway took it and the answer was lost.
//   - What is sent is worked out when it is sent: not what the user has read, what was redacted
//     or whom the user ignores by then; and the number of unread notifications is that of now.
//   - When that number falls, the pusher is sent the number alone.
//   - A gateway that is slow or fails holds up nobody else. What was not sent is tried again
//     with growing delays, also after a restart: after an hour at most, and only what is still
//     unread, only the newest. After a day it is given up, but not the pusher.
//   - A pusher that a gateway rejects is deleted.
//   - No commit waits for any of this, and sending a message costs the same for any number of
//     pushers.
//
// What is bounded: the requests at the same time, in all, to one gateway and for one user; of
// them a part for gateways that have not answered well before; the time and the answer of a
// request; the pushers in memory, beyond which they wait in the table.
//
// Data flow, in the one process that leads:
//
//	journal ─▶ look: whom do the new entries concern? ─▶ deliveries, in memory
//	table pushers: who is behind and due? ─────────────▶    │
//	                                                        ▼
//	                   push.Pushes: what is owed? ─▶ post ─▶ gateway
//
// Once a second it is saved how far all have come: the position of the follower for those that
// keep up, and a position of its own for each pusher that does not.
package httppusher
