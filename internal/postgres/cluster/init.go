package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// initialise makes the cluster's files unless they are there. They appear under
// their name only when they are complete.
func (c *Cluster) initialise(ctx context.Context) error {
	data := c.place.data()
	if _, err := os.Stat(filepath.Join(data, versionFile)); err == nil {
		return nil
	}
	unfinished := data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := c.place.owner.makeFolder(unfinished); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + unfinished, "--username=" + superuser, "--auth=peer",
		"--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if c.durable {
		args = append(args, "--data-checksums")
	} else {
		args = append(args, "--no-sync")
	}
	cmd := c.place.owner.command(ctx, unfinished, c.binaries.path("initdb"), args...)
	// A server that is killed while it makes a cluster leaves no process behind that
	// goes on with that. The signal comes when the thread ends that has started the
	// child.
	dieWithParent(cmd)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a cluster: %w: %s", err, lastLine(output))
	}
	if err := os.Rename(unfinished, data); err != nil {
		return fmt.Errorf("put the new cluster in its place: %w", err)
	}
	c.log.InfoContext(ctx, "made a PostgreSQL cluster", "folder", data, "version", c.binaries.major)
	return nil
}

// lastLine returns the last line that a program printed, which says why it ended.
func lastLine(output []byte) string {
	text := strings.TrimSpace(string(output))
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
