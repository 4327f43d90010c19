// Package invitepermission knows which invites users want: client-server API, "Invite
// permission", and a proposal with lists of users and servers.
//
// Promises:
//
//   - It follows the account data of users at once, in all processes.
//   - An invite that its target refuses is not made, wherever it comes from; the sender learns
//     that, if the room would have allowed the invite. Those that are only ignored are made, and
//     not shown to their target.
//   - What is asked often is in memory, bounded in bytes; for any number of invitees there is one
//     statement at most.
//
// Data flow: accountdata ─▶ journal ─▶ forgotten here; rooms ─▶ Screen; syncstream ─▶ OfUser;
// push ─▶ Hidden.
package invitepermission
