package main

import (
	"os"
	"time"
)

// usage is the processor time that each has taken so far: the server, this process
// with the clients and the ceilings, PostgreSQL with all its processes, and the other
// server that this one is compared with, if there is one. It is 0 where the system does
// not tell.
type usage struct {
	server, here, postgres, beside time.Duration
}

func (u usage) sub(before usage) usage {
	return usage{u.server - before.server, u.here - before.here, u.postgres - before.postgres, u.beside - before.beside}
}

func (u usage) add(other usage) usage {
	return usage{u.server + other.server, u.here + other.here, u.postgres + other.postgres, u.beside + other.beside}
}

// usage reads the clocks of all processes.
func (h *house) usage() usage {
	u := usage{here: processorTime(os.Getpid())}
	if h.server != nil {
		u.server = processorTime(h.server.pid())
	}
	if h.beside != 0 {
		u.beside = processorTime(h.beside)
	}
	u.postgres = familyTime(h.postmaster)
	return u
}
