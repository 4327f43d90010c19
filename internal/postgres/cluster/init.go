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
	if c.template != nil {
		err := c.copyTemplate(ctx)
		if err == nil {
			c.copied = true
			c.log.InfoContext(ctx, "copied a PostgreSQL cluster", "folder", data, "version", c.binaries.major)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		c.log.WarnContext(ctx, "no template of a PostgreSQL cluster can be used: making a cluster without", "error", err)
	}
	return c.initDB(ctx)
}

// initArguments returns the arguments of initdb that change what it makes.
func initArguments(durable bool) []string {
	args := []string{"--username=" + superuser, "--auth=peer", "--encoding=UTF8", "--locale=C"}
	if durable {
		return append(args, "--data-checksums")
	}
	// The smallest segments of the log: less to copy.
	return append(args, "--wal-segsize=1")
}

// initDB makes the cluster's files by PostgreSQL's own program.
func (c *Cluster) initDB(ctx context.Context) error {
	data := c.place.data()
	unfinished := data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := c.place.owner.makeFolder(unfinished); err != nil {
		return err
	}
	args := append(initArguments(c.durable), "--pgdata="+unfinished, "--no-instructions")
	if !c.durable {
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
