// Package upgradedrooms does the work that follows when a room was replaced by another one:
// the settings of members follow them, which are their tags, direct chats and push rules, and
// the new room gets the bans for which the commit of the upgrade was too small. Client-server
// API, "Room Upgrades", Server behaviour.
//
// Promises:
//
//   - The settings follow when a member joins the new room, and not before: until then
//     nobody's clients show it.
//   - A room that only claims to replace another one gets nothing: the tombstone of the old
//     one has to name it.
//   - It happens at least once, whatever ends meanwhile; in one process.
//   - What a member has set for the new room already stays. Nothing is removed from the old.
//
// Data flow: a join ─▶ journal ─▶ follower upgraded_rooms ─▶ packages accountdata and push.
// A journal entry without a join costs nothing, and a join one query together with the
// others of up to 1,000 entries.
package upgradedrooms
