// Package filter picks requests of clients by what they ask for and by who asks: for faults,
// and for the list of what was sent.
package filter
