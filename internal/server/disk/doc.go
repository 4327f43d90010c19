// Package disk measures how much room is left where the server writes, and reports when
// there is too little to store more. A disk that is full to its last byte is worse than one that is nearly so: PostgreSQL may end and not even start
// again, and nothing can be deleted any more.
//
// # Promises
//
//   - To ask a [Space] costs nothing: the disks are measured in the background, every few
//     seconds.
//   - The log has one line when a disk becomes nearly full, and one when it has room
//     again, which needs somewhat more than the floor, so that the two don't alternate.
//   - A disk that can't be measured counts as having room.
package disk
