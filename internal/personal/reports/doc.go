// Package reports takes what users report to the operator of the server: events,
// rooms and users. Client-server API, "Reporting Content".
//
// # Promises
//
//   - A report that was answered with success is in the database, in the table
//     reports, and one line about it is in the log. The line names who reports whom
//     or what; the reason, like all that people have written, is not in it.
//   - Events can be reported by who is in the room and may see them. To everybody else
//     they are not there. Rooms and users can be reported by everybody.
//   - The answer does not tell whether there is a user of a name. Nothing is kept of
//     reports of users whom this server does not have.
//   - The operator lists, reads and closes reports. A closed one is kept like any other.
//   - What is kept of a user's reports has a bound: the latest 1,000. How fast they
//     come has one too.
package reports
