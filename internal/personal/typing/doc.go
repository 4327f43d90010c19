// Package typing knows who is typing in which room: client-server API, "Typing
// Notifications". It keeps that in memory only; the processes on one database tell
// each other.
//
// Promises: a change wakes the /sync requests of the room; a user whose client sends
// nothing more is shown as typing until the timeout and no longer.
package typing
