// Package clock is the time as a server judges by it. It is the real time, unless a program moves
// it forward: then everything that waits for a time that has come goes on at once.
//
// A nil *Clock is the real time, and costs nothing beyond package time. Waits that are those of a
// connection, or of another program, stay with package time.
package clock
