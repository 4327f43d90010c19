package main

import "time"

// sizes are how much a run does.
type sizes struct {
	// turn is how long each side of a race goes on at a time, turns how often.
	turn  time.Duration
	turns int
	// rooms is how many rooms many rooms are.
	rooms int
	// listeners wait for messages, of which they get one in each of the rounds, and
	// then a burst.
	listeners, rounds, burst int
	// readRooms is how many rooms somebody is in who reads, and manyRooms somebody else.
	readRooms, manyRooms int
	// crowd is how many members are in a room that somebody looks into, and talk how many
	// messages in another one.
	crowd, talk int
	// planned is how many messages are in the database whose statistics are old, in
	// plannedRooms.
	planned, plannedRooms int
	// joins is how many users join one room. The first and the last joinsCompared of them
	// are compared.
	joins, joinsCompared int
	// devices are those of an encrypted room.
	devices int
	// waiting is how many requests wait while memory is looked at, and quiet the time
	// without requests before that; load is how long there are many, and rest the time after it.
	waiting           int
	quiet, load, rest time.Duration
	// members and events are those of rooms that are compared, the smallest first.
	members, events []int
	// history is how many events are read back, kept how many messages, and how many
	// members, are looked at on the disk, and starts how often the server starts.
	history, kept, starts int
	// related is how many events are in a room in which each second one is related to another.
	related int
}

// full is for measuring: some minutes in all.
var full = sizes{
	turn:  700 * time.Millisecond,
	turns: 3,
	rooms: 64,

	listeners: 200, rounds: 60, burst: 400,
	readRooms: 100, manyRooms: 1000,
	crowd: 1000, talk: 5000,
	planned: 100_000, plannedRooms: 20,
	joins: 1000, joinsCompared: 100,
	devices: 500,
	waiting: 1000, quiet: 3 * time.Second, load: 15 * time.Second, rest: time.Minute,
	members: []int{10, 1000, 10_000}, events: []int{1000, 200_000},
	history: 100_000, kept: 10_000, starts: 3, related: 1000,
}

// quick is for trying the benchmark out: seconds in all, and figures that mean
// nothing.
var quick = sizes{
	turn:  20 * time.Millisecond,
	turns: 1,
	rooms: 8,

	listeners: 12, rounds: 2, burst: 24,
	readRooms: 10, manyRooms: 20,
	crowd: 30, talk: 200,
	planned: 300, plannedRooms: 5,
	joins: 20, joinsCompared: 5,
	devices: 20,
	waiting: 200, quiet: 10 * time.Millisecond, load: 20 * time.Millisecond, rest: 10 * time.Millisecond,
	members: []int{10, 20, 40}, events: []int{20, 300},
	history: 200, kept: 100, starts: 1, related: 60,
}
