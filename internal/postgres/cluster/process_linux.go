package cluster

import (
	"fmt"
	"os"
	"os/exec"
)

// dieWithParent asks the kernel to shut the child down, cleanly, when the thread
// that starts it ends, and so when this process is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr.Pdeathsig = fastShutdown
}

// isPostmaster reports whether a process is the postmaster of a data folder,
// which a postmaster has as its working folder.
func isPostmaster(pid int, data string) bool {
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && dir == data
}
