// Package policy applies moderation policy lists to this server: client-server API,
// "Moderation policy lists".
//
// # Promises
//
//   - The lists are rooms that the operator has named and that this server knows. A rule is a
//     state event there, so that only users with the power to set it make rules.
//   - A rule counts from the commit of its event on, in all processes, until its event is
//     replaced or redacted.
//   - The recommendation m.ban keeps users and servers from joining, knocking, inviting and
//     being invited, creating rooms, and registering; and everybody from joining, being
//     invited to, naming and publishing a room. Nobody is removed from a room. Other
//     recommendations are ignored.
//   - Administrators of this server are not subject to rules, nor is this server: a rule that
//     would hit all its users, or all its rooms, is not applied.
//   - Nobody learns from a refusal which list, rule or reason it comes of. The log says it.
//   - A check reads nothing from the database, except for a user or room that a rule hits, and
//     takes the same time with many rules as with few. Rules are bounded in number.
//
// # Data flow
//
//	journal ─▶ committed ─▶ rules, in memory ─▶ Screen ─▶ rooms, before a membership is committed
//	Start, and after entries were missed: room_state ─▶ rules
package policy
