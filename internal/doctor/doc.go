// Package doctor runs checks of a server's data and reports errors in plain lines. The
// checks of a table are in the package that owns it; this package runs them.
//
// Promises:
//
//   - Memory is bounded, however much there is to check or wrong with it: checks read
//     rows in order, and of many findings the first ones are printed, and the number.
//   - Without repairs nothing is written. A server may run meanwhile: each statement
//     sees the database as of one moment.
//   - A repair restores only what follows from other rows: counts, ends of intervals,
//     indexes. No message is ever removed or changed.
//   - After a repair the check has run again.
package doctor
