// Package buildinfo knows which version of the program runs.
package buildinfo

import "runtime/debug"

// version is set by the build; without that, the toolchain knows the commit.
var version string

// Version returns the version: the tag or commit that was built, or "unknown".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
