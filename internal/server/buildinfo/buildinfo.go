// Package buildinfo knows which version of the program runs, however it was built: by make, go
// build, go install or Docker, in a clone, from an archive of the repository or from its files alone.
package buildinfo

import (
	_ "embed"
	"regexp"
	"runtime/debug"
)

// number is the version that this source becomes: the first one in CHANGELOG.md.
const number = "0.1.0"

// version is set by the build: the output of git describe.
var version string

// archive is filled in by git where it packs the source, as for a download: the commit and its tags.
//
//go:embed archive.txt
var archive string

// Version returns the version:
//
//	0.1.0                     built from the commit with the tag v0.1.0
//	0.1.0-dev+8d41f2a         built from another commit
//	0.1.0-dev+8d41f2a-dirty   files were changed after it
//	0.1.0-dev                 built from files of which nothing is known
func Version() string {
	if version != "" {
		return versionOf(version)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if source := sourceOf(info); source != "" {
			return versionOf(source)
		}
	}
	return versionOf(sourceIn(archive))
}

// Descriptions of a source: by a tag that is there, and by a commit.
var (
	tagged    = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-rc\d+)?)(?:-0-g[0-9a-f]+)?$`)
	committed = regexp.MustCompile(`([0-9a-f]{7,12})[0-9a-f]*(-dirty)?$`)
)

// versionOf returns the version that is built from the source.
func versionOf(source string) string {
	if tag := tagged.FindStringSubmatch(source); tag != nil {
		return tag[1]
	}
	if commit := committed.FindStringSubmatch(source); commit != nil {
		return number + "-dev+" + commit[1] + commit[2]
	}
	return number + "-dev"
}

// sourceOf returns what the toolchain has noted of the source; "" if it knew nothing.
func sourceOf(info *debug.BuildInfo) string {
	if tagged.MatchString(info.Main.Version) {
		return info.Main.Version
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "-dirty"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + changed
}

// archived is what git makes of archive.txt.
var archived = regexp.MustCompile(`^([0-9a-f]{40,64})(?:.*tag: (v[0-9][0-9a-z.-]*))?`)

// sourceIn returns what git has noted in an archive; "" if it has packed none.
func sourceIn(archive string) string {
	found := archived.FindStringSubmatch(archive)
	switch {
	case found == nil:
		return ""
	case found[2] != "":
		return found[2]
	default:
		return found[1]
	}
}
