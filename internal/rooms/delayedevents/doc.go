// Package delayedevents keeps events that clients want to be sent later, and sends them when
// their time has come: MSC4140. Calls depend on it: a client schedules its leaving, and puts
// it off for as long as it is there.
//
// Promises:
//
//   - A delayed event is sent once, not before its time, and soon after it: also if the
//     server, or one of its processes, ends meanwhile. What came due while no server ran is
//     sent at the start, in the order of the times.
//   - Whether it may be sent is decided then, by the rules and limits for any event.
//   - What a client was told is cancelled is not sent, and what was put off not before.
//   - State that another user has set since the event was scheduled stays.
//   - What a user, and all users together, can schedule is bounded in number and bytes.
//
// Data flow:
//
//	Schedule ─▶ table delayed_events ─▶ worker of one process: waits for the earliest, marks
//	            those that are due as being sent ─▶ rooms.Send, with a transaction of the
//	            event's own ─▶ finalised
//
// After a crash what is marked is sent again, and its transaction has it sent once. Clocks
// that are set do no more than move the times: the worker looks at the clock at least once a
// minute.
package delayedevents
