package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/server/config"
)

func TestConfigCheckPrintsWhatIsInEffect(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("password:\n  min_length: 9\nregistration:\n  shared_secret: hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runWith(t, nil, []string{"HOMESERVER_LOG_LEVEL=debug"},
		"config", "check", "--config", file, "--listen", "127.0.0.1:1", "--listen", "tls://127.0.0.1:2")
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("got %+v", got)
	}
	for _, want := range []string{"min_length: 9", "level: debug", "- 127.0.0.1:1\n", "- tls://127.0.0.1:2\n", "enabled: true"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, key := range config.Keys() {
		if name := key.Name[strings.LastIndex(key.Name, ".")+1:]; !strings.Contains(got.stdout, name+":") {
			t.Errorf("%s is missing", key.Name)
		}
	}
	if strings.Contains(got.stdout, "hunter2") {
		t.Error("the secret is shown")
	}
}

func TestConfigMistakesFailEveryCommandThatReadsIt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("\nlisten_on: x\nlog:\n  level: loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "config check", "migrate", "user create alice", "user list", "health"} {
		got := runWith(t, strings.NewReader("x"), nil, append(strings.Fields(command), "--config", file)...)
		want := "homeserver: " + file + ":2: listen_on: is not a known key"
		second := "homeserver: " + file + ":4: log.level: must be one of"
		if got.code != exitFailure || !strings.HasPrefix(got.stderr, want) || !strings.Contains(got.stderr, "\n"+second) {
			t.Errorf("%s: got %+v", command, got)
		}
	}
}

func TestConfigurationInUseIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("password: {min_length: 9}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	a := &app{configFile: file, stdout: &stdout, stderr: &stdout}
	if code := a.run(t.Context(), []string{"config", "check"}); code != exitOK || !strings.Contains(stdout.String(), "# With the configuration file "+file+".\n") {
		t.Errorf("the default file: code %d: %s", code, &stdout)
	}
	for want, r := range map[string]*running{
		"the configuration file " + file: start(t, environment(t, "HOMESERVER_CONFIG="+file)),
		"no configuration file":          start(t, environment(t)),
	} {
		if !strings.Contains(r.stdout.String(), "It has "+want+", ") {
			t.Errorf("the start does not say %q: %s", want, r.stdout)
		}
		if !strings.Contains(r.stderr.String(), `configuration="`+want+`"`) {
			t.Errorf("the log does not say %q: %s", want, r.stderr)
		}
	}
	// It is for temporary data, whatever this machine has configured.
	r := start(t, []string{"HOMESERVER_CONFIG=" + file + ".none"}, "dev", "--listen", "localhost:0")
	if !strings.Contains(r.stdout.String(), "It has no configuration file") {
		t.Errorf("dev reads a file: %s", r.stdout)
	}
}
