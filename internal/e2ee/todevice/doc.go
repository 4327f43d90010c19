// Package todevice carries messages from device to device: client-server API,
// "Send-to-Device messaging". Most of them are keys of encrypted rooms, which cannot be
// had again if they are lost.
//
// # Promises
//
//   - A message is in the log before its sender is answered, and reaches each device once,
//     in the order of the log. It is kept until the device acknowledges it by the next since
//     token; until then the same token brings the same messages.
//   - A request with a transaction ID is carried out once, however often and to whichever
//     process it is sent.
//   - A request is one entry of the journal and one commit, for any number of devices.
//   - Messages go with their device, in the same commit. A device that is made anew under
//     the same ID gets none of them.
//
// # Data flow
//
//	Send ─▶ journal ─▶ tables to_device, to_device_transactions
//	Queue.Look ─▶ Read ─▶ /sync: from the live window; by SQL where that does not reach
//	/sync ─▶ Acknowledge ─▶ janitor ─▶ what was acknowledged is deleted, for many devices at once
//
// Of each device that asks, memory holds a position up to which nothing waits for it: the
// live window has the rest, so that a /sync without news reads nothing. It is read once, and
// forgotten when the device is removed, in any process.
//
// # Bounds
//
// A request reaches 10,000 devices at most. What it writes, for each device that it reaches, is
// charged to its sender before it is written. About 50,000 messages or 64 MiB wait for a
// device; then the oldest are dropped, which the log says. Transaction IDs are known for a
// day. A message that was acknowledged just before a crash may come once more to a client
// that begins anew.
package todevice
