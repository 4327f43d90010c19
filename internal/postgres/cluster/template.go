package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"homeserver/internal/postgres"
)

const (
	templatePrefix = "cluster-"
	templateSuffix = ".tar"
	// keptTemplates is how many templates are kept, of those used last: each developer has several versions of the
	// server.
	keptTemplates = 4
	// lookForLock is how often it is tried again to take a lock that another process holds.
	lookForLock = 20 * time.Millisecond
)

// Template is a prepared cluster that is copied where a new one is wanted, which takes a fraction of the time. It is
// kept in a file, which appears whole at once. One process makes it; others that want it meanwhile wait. A template
// that is broken is made again. Where the folder cannot be used, clusters are made as without a template.
type Template struct {
	// Dir is the folder of templates, made if it is missing.
	Dir string
	// Version is what Prepare depends on: for another version another template is made. The version and the settings
	// of PostgreSQL count by themselves.
	Version string
	// Prepare fills the database "homeserver" of the cluster that becomes the template.
	Prepare func(ctx context.Context, url string) error
}

// MigratedTemplate returns the template whose database "homeserver" is empty and has the schema of this program.
func MigratedTemplate(dir string) *Template {
	return &Template{Dir: dir, Version: postgres.Fingerprint(), Prepare: func(ctx context.Context, url string) error {
		_, _, err := postgres.Migrate(ctx, url)
		return err
	}}
}

// file returns the file of the template for these programs.
func (t *Template) file(b binaries) string {
	sum := sha256.New()
	for _, part := range append(initArguments(false), "1", runtime.GOARCH, b.version, settings, throwawaySettings, t.Version) {
		_, _ = fmt.Fprintf(sum, "%d %s\n", len(part), part) // a hash takes everything
	}
	return filepath.Join(t.Dir, templatePrefix+hex.EncodeToString(sum.Sum(nil)[:8])+templateSuffix)
}

// copyTemplate makes the cluster's files as a copy of the template, which it makes first if there is none.
func (c *Cluster) copyTemplate(ctx context.Context) error {
	file := c.template.file(c.binaries)
	err := c.unpack(file)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.log.WarnContext(ctx, "the template of PostgreSQL clusters cannot be copied: making it again", "file", file, "error", err)
	}
	if err := os.MkdirAll(c.template.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of templates: %w", err)
	}
	lock, err := awaitLock(ctx, filepath.Join(c.template.Dir, lockFile))
	if err != nil {
		return err
	}
	defer func() { _ = unlock(lock) }() // the end of the process does so, too
	// Another process may have made it meanwhile.
	if err := c.unpack(file); err == nil {
		return nil
	}
	if err := c.makeTemplate(ctx, file); err != nil {
		return fmt.Errorf("make a template: %w", err)
	}
	removeOldTemplates(c.template.Dir, file)
	return c.unpack(file)
}

// unpack makes the cluster's files as a copy of the template in the file.
func (c *Cluster) unpack(file string) error {
	unfinished := c.place.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	err := unpackArchive(file, unfinished, c.place.owner)
	if err == nil {
		err = os.Rename(unfinished, c.place.data())
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(unfinished))
	}
	// It has been used: see removeOldTemplates. In a folder that cannot be written nothing is removed either.
	_ = os.Chtimes(file, time.Time{}, time.Now())
	return nil
}

// makeTemplate makes the file by running a cluster of its own. The lock of the folder is held.
func (c *Cluster) makeTemplate(ctx context.Context, file string) error {
	dir, err := MakeThrowawayDir("homeserver-template-")
	if err != nil {
		return err
	}
	remove, err := RemoveAfterKill(dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	err = c.makeTemplateIn(ctx, dir, file)
	return errors.Join(err, remove())
}

func (c *Cluster) makeTemplateIn(ctx context.Context, dir, file string) error {
	made, err := Start(ctx, Options{Dir: dir, Log: c.log, compact: true})
	if err != nil {
		return err
	}
	err = c.template.Prepare(ctx, made.URL(clusterDatabase))
	if err = errors.Join(err, made.Stop(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	return packArchive(made.DataDir(), file)
}

// removeOldTemplates removes the templates that have not been used for longest, and what was left unfinished. The lock
// of the folder is held. What cannot be removed stays for the next time: it does no harm.
func removeOldTemplates(dir, newest string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	used := map[string]time.Time{}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		switch {
		case err != nil || !strings.HasPrefix(entry.Name(), templatePrefix) || path == newest:
		case strings.HasSuffix(entry.Name(), templateSuffix):
			used[path] = info.ModTime()
		default:
			_ = os.Remove(path)
		}
	}
	var paths []string
	for path := range used {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return used[b].Compare(used[a]) })
	for i, path := range paths {
		if i >= keptTemplates-1 { // and the newest
			_ = os.Remove(path)
		}
	}
}

// awaitLock locks a file, which it makes if it is missing, once no other process does.
func awaitLock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of templates: %w", err)
	}
	look := time.NewTicker(lookForLock)
	defer look.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		case <-look.C:
		}
	}
}
