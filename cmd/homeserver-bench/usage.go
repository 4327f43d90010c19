package main

import (
	"os"
	"time"
)

// usage is the processor time that each has taken so far: the server, this process
// with the clients and the ceilings, and PostgreSQL with all its processes. It is
// 0 where the system does not tell.
type usage struct {
	server, here, postgres time.Duration
}

func (u usage) sub(before usage) usage {
	return usage{u.server - before.server, u.here - before.here, u.postgres - before.postgres}
}

func (u usage) add(other usage) usage {
	return usage{u.server + other.server, u.here + other.here, u.postgres + other.postgres}
}

// usage reads the clocks of all processes.
func (h *house) usage() usage {
	u := usage{here: processorTime(os.Getpid())}
	if h.server != nil {
		u.server = processorTime(h.server.pid())
	}
	u.postgres = familyTime(h.postmaster)
	return u
}
