// Package clock is the time as a server judges by it. It is the real time, unless a program moves
// it forward: then everything that waits for a time that has come goes on at once.
//
// A nil *Clock is the real time, and costs nothing beyond package time. What stays with package time
// are waits for a connection, a disk, the database or another program, and the age of files, which
// their file system knows.
package clock
