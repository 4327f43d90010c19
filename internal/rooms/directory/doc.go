// Package directory finds rooms: by their aliases, and in the list of published rooms.
// It owns the table room_aliases, and of the table rooms the column listed.
//
// It decides nothing about state, nor who may do what: package rooms asks that before. An
// alias that a room publishes in m.room.canonical_alias is removed from there by package
// rooms.
package directory
