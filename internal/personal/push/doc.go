// Package push decides what a user is notified of: push rules and their
// evaluation, unread counts, the list of notifications, and pushers.
// Client-server API, "Push Notifications".
//
// Promises:
//
//   - A user has the predefined rules of the specification, and rules of their
//     own in the order that they choose. Each change is an entry of the journal for
//     its user alone, so that /sync brings it to all devices; of changes at once
//     none is lost.
//   - Evaluating an event compiles nothing and, as a rule, allocates little. The
//     time that it takes is linear in the text of the event, whatever the patterns, and
//     beyond what is free comes out of a budget that all evaluations for one user share,
//     whoever needs them. What is past it counts as unmatched.
//   - Nobody is notified of what they sent themself, of what those sent whom they
//     ignore, or of what was redacted.
//   - Unread counts are worked out when they are read, so that sending costs the
//     same whoever listens. After the first time only what is new is looked at, which
//     in the usual case takes no SQL for events.
//   - A pusher is gone in the same commit as its device.
//
// What is bounded: the rules of a user in number and bytes, the pushers of a user,
// the events of a room that a count looks at ([MaxUnread] of the newest, and
// [threadLookback] of those before the main timeline was read; changes of others'
// membership, which usually notify nobody, are passed over unread), the events that
// one call for notifications looks at, and everything that is kept in memory.
//
// Rules see a room as it is when a count is worked out first (its number of
// members, its power levels, the user's name in it), which may be later than the event.
//
// Data flow:
//
//	PutRule, … ─▶ journal ─▶ table push_rules ─▶ Ruleset, compiled and kept
//	Counts ─▶ tallies (what is unread, up to a position)
//	       ─▶ the events since, from the live window or in bulk by SQL
//	       ─▶ Ruleset.Evaluate ─▶ threads ─▶ tallies ─▶ less what is read by now
//
// Pushers are kept here, and nothing is sent to them yet: that is for a follower
// of the journal, which finds in the table from which position on each one is owed
// notifications.
package push
