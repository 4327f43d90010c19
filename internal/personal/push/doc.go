// Package push decides which events notify a user: push rules and their
// evaluation, unread counts, the list of notifications, and pushers.
// Client-server API, "Push Notifications".
//
// Promises:
//
//   - A user has the predefined rules of the specification, and rules of their
//     own in the order that they choose. Each change is an entry of the journal for
//     its user alone, so that /sync brings it to all devices; concurrent
//     changes are all kept.
//   - Evaluating an event compiles nothing and, as a rule, allocates little. Its
//     time is linear in the text of the event, whatever the patterns, and beyond a free
//     part comes out of a budget that all evaluations for one user share. Conditions
//     past the budget do not match.
//   - No user is notified of their own events, of those of users whom they ignore, or of
//     redacted ones.
//   - Unread counts are worked out when they are read, so that sending costs the
//     same, however many listen. After the first time only new events are evaluated,
//     in the usual case without SQL.
//   - A pusher is deleted in the same commit as its device.
//
// What is bounded: the rules of a user in number and bytes, the pushers of a user,
// the events of a room that a count reads ([MaxUnread] of the newest, and
// [threadLookback] of those before the main timeline was read; changes of others'
// membership, which usually notify nobody, are skipped unread), the events that
// one call for notifications reads, and all memory.
//
// Rules see a room as it is when a count is worked out first (its number of
// members, its power levels, the user's name in it), which may be later than the event.
//
// Data flow:
//
//	PutRule, … ─▶ journal ─▶ table push_rules ─▶ Ruleset, compiled and kept; users who have
//	       changed nothing share the predefined rules
//	Counts ─▶ tallies (what is unread, up to a position)
//	       ─▶ the events since, from the live window or in bulk by SQL
//	       ─▶ Ruleset.Evaluate ─▶ threads ─▶ tallies ─▶ less what is read by now
//
//	Pushes ─▶ tallies of the rooms that something happened in ─▶ what to push, and the badge
//
// Pushers are stored here, and so is how far those have come that do not keep up;
// internal/personal/httppusher sends what Pushes returns.
package push
