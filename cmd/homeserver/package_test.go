package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/server/config"
)

// The files that the Debian package is made of; scripts/test-deb installs it.
const debian = repository + "deploy/deb/"

// named returns the packaged configuration with a server name, as an operator writes it.
func named(t *testing.T) *config.Config {
	t.Helper()
	content := strings.Replace(readFile(t, debian+"config.yaml"), `server_name: ""`, "server_name: example.org", 1)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A name cannot be changed later, so nobody gets one by accident.
func TestPackagedServerNeedsItsName(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Sources{File: debian + "config.yaml"})
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), ": server_name: must be a host name") {
		t.Errorf("the packaged configuration says %v", err)
	}
}

func TestPackagedConfigurationIsForOthers(t *testing.T) {
	t.Parallel()
	cfg := named(t)
	if cfg.RegistrationOpen() {
		t.Error("everybody may register")
	}
	for _, l := range cfg.Listen {
		if l.TLS || !l.Loopback() {
			t.Errorf("listens on %s, where no proxy of this machine is before it", l)
		}
	}
	if want := "/var/lib/" + unit(t)["Service.StateDirectory"]; cfg.DataDir != want {
		t.Errorf("the data is in %s, and the unit allows %s", cfg.DataDir, want)
	}
	for _, script := range []string{"postinst", "postrm"} {
		if !strings.Contains(readFile(t, debian+script), "\nhome="+cfg.DataDir+"\n") {
			t.Errorf("%s takes another folder for that of the data", script)
		}
	}
}

// The package has what README and documentation say of a unit, a user and a file.
func TestPackageHasTheUnitOfTheDocumentation(t *testing.T) {
	t.Parallel()
	release := readFile(t, repository+"scripts/release")
	command := strings.Fields(unit(t)["Service.ExecStart"])
	if !strings.Contains(release, "'s:/usr/local/bin/:/usr/bin/:' docs/homeserver.service") || !strings.Contains(release, `"$root/usr/bin/homeserver"`) ||
		!strings.HasPrefix(command[0], "/usr/local/bin/") {
		t.Errorf("the unit starts %s, and is not changed to start the package's program", command[0])
	}
	if !slices.Contains(command, usualConfigFile) || !strings.Contains(release, "echo "+usualConfigFile+" >") {
		t.Errorf("the package's configuration is not %s", usualConfigFile)
	}
	if user := unit(t)["Service.User"]; !strings.Contains(readFile(t, debian+"postinst"), " "+user+"\n") {
		t.Errorf("nobody makes the user %s", user)
	}
}
