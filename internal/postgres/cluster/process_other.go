//go:build !linux

package cluster

import (
	"os/exec"
	"strconv"
	"strings"
)

// dieWithParent does nothing where the system has no signal for it: there the
// next start takes over a PostgreSQL that was left behind.
func dieWithParent(*exec.Cmd) {}

// isPostmaster reports whether a process is the postmaster of a data folder,
// which its command line names.
func isPostmaster(pid int, data string) bool {
	command, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(command), "-D "+data+" ")
}
