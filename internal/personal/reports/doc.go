// Package reports stores the reports of users to the operator of the server: about
// events, rooms and users. Client-server API, "Reporting Content".
//
// # Promises
//
//   - A report that was answered with success is in the database, in the table
//     reports, and one line about it is in the log. The line names the reporter and
//     what is reported; the reason, like all texts of people, is not in it.
//   - Users in a room can report events there that they may see. For everybody else
//     these do not exist. Rooms and users can be reported by everybody.
//   - The answer does not show whether a user exists. Reports about users whom this
//     server does not have are not stored.
//   - The operator lists, reads and closes reports. A closed one stays like any other.
//   - The latest 1,000 reports of each user are stored. Their rate is limited, too.
package reports
