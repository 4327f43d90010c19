// Package directory is by what names rooms are found: their aliases, and the rooms that
// are published. It owns the table room_aliases, and of the table rooms the column listed.
//
// It decides nothing about state. An alias that a room publishes in m.room.canonical_alias
// is taken out of there by package rooms.
package directory
