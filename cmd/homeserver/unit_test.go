package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unit returns the settings of the systemd unit that is to be copied, by section and name.
func unit(t *testing.T) map[string]string {
	t.Helper()
	settings := map[string]string{}
	section := ""
	for line := range strings.Lines(readFile(t, repository+"docs/homeserver.service")) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]")
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		key := section + "." + name
		if _, twice := settings[key]; !ok || twice {
			t.Errorf("%q is no setting, or is there twice", line)
		}
		settings[key] = value
	}
	return settings
}

func TestUnitFitsTheServer(t *testing.T) {
	t.Parallel()
	settings := unit(t)
	for key, want := range map[string]string{
		"Service.Type":            "notify", // the server says READY=1
		"Service.KillMode":        "mixed",  // PostgreSQL is stopped by the server, not by the signal
		"Service.StateDirectory":  "homeserver",
		"Service.User":            "homeserver",
		"Service.ProtectSystem":   "strict",
		"Service.NoNewPrivileges": "yes",
		"Install.WantedBy":        "multi-user.target",
	} {
		if settings[key] != want {
			t.Errorf("%s is %q, want %q", key, settings[key], want)
		}
	}
	// The size of the memory and the limit of the control group must be seen.
	if _, hidden := settings["Service.ProcSubset"]; hidden {
		t.Error("ProcSubset hides /proc/meminfo")
	}
	seconds, err := strconv.Atoi(settings["Service.TimeoutStopSec"])
	if err != nil || time.Duration(seconds)*time.Second <= shutdownTimeout {
		t.Errorf("systemd waits for %s, and the end takes up to %v", settings["Service.TimeoutStopSec"], shutdownTimeout)
	}
	command := strings.Fields(settings["Service.ExecStart"])
	if command[0] != "/usr/local/bin/homeserver" || command[1] != "--config" || !strings.Contains(serveCommand().usage(&app{}), "--config FILE") {
		t.Errorf("starts %q", command)
	}
	if got := settings["Service.ExecReload"]; got != "/bin/kill -HUP $MAINPID" {
		t.Errorf("reloads by %q", got)
	}
}

// Compose waits for a container to stop at least as long as the server may take.
func TestContainersAreGivenTimeToStop(t *testing.T) {
	t.Parallel()
	grace := regexp.MustCompile(`stop_grace_period: (\S+)`).FindStringSubmatch(readFile(t, composeFile))
	if grace == nil {
		t.Fatal("compose kills after ten seconds")
	}
	if given, err := time.ParseDuration(grace[1]); err != nil || given <= shutdownTimeout {
		t.Errorf("compose waits for %s, and the end takes up to %v", grace[1], shutdownTimeout)
	}
}
