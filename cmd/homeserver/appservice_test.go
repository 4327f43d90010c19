package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

const applicationServices = "docs/application-services.md"

// The document starts a server itself, beside one registration.
func TestCommandsOfApplicationServicesWork(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	address := freeAddress(t)
	all := at(steps(t, applicationServices), "http://"+address, "https://"+address)
	environ := append(environment(t), "PATH="+commandFolder(t)+":"+os.Getenv("PATH"))
	for i, setting := range environ {
		if strings.HasPrefix(setting, "HOMESERVER_LISTEN=") {
			environ[i] = "HOMESERVER_LISTEN=" + address
		}
	}
	// Nothing listens where the service would be.
	nowhere := freeAddress(t)
	for i := range all {
		all[i].commands = strings.ReplaceAll(all[i].commands, "http://localhost:29318", "http://"+nowhere)
	}
	for i, o := range runSteps(t, t.TempDir(), environ, all) {
		all[i].judge(t, o)
	}
}

func TestAppServiceCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "bot.yaml")
	environ := []string{"HOMESERVER_SERVER_NAME=example.org", "HOMESERVER_DATA_DIR=" + dir}
	if got := runWith(t, nil, environ, "appservice", "new", "bot", "--out", file, "--users", "@bot_.*", "--user", "botty"); got.code != exitOK || got.stdout != "Made "+file+".\n" {
		t.Fatalf("got %+v", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the tokens: %v %v", info, err)
	}
	if got := runWith(t, nil, environ, "appservice", "new", "bot", "--out", file); got.code != exitFailure || !strings.Contains(got.stderr, "exists already") {
		t.Errorf("got %+v", got)
	}
	one := runWith(t, nil, environ, "appservice", "new", "bot")
	other := runWith(t, nil, environ, "appservice", "new", "bot")
	if one.code != exitOK || one.stdout == other.stdout || !strings.Contains(one.stdout, "as_token: ") {
		t.Errorf("got %+v, then %+v", one, other)
	}
	for _, args := range []string{"--users (", "--url ftp://x", "--user @a:b"} {
		got := runWith(t, nil, environ, append([]string{"appservice", "new", "bot"}, strings.Fields(args)...)...)
		if got.code != exitFailure || got.stdout != "" || !strings.Contains(got.stderr, "registration:") {
			t.Errorf("%s: got %+v", args, got)
		}
	}
}

func TestAppServiceCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, second := filepath.Join(dir, "bot.yaml"), filepath.Join(dir, "second.yaml")
	environ := []string{"HOMESERVER_SERVER_NAME=example.org", "HOMESERVER_DATA_DIR=" + dir}
	if got := runWith(t, nil, environ, "appservice", "new", "bot", "--out", file, "--users", "@bot_.*", "--user", "botty"); got.code != exitOK {
		t.Fatalf("got %+v", got)
	}
	check := runWith(t, nil, environ, "appservice", "check", file)
	for _, part := range []string{
		"The application service bot is the user @botty:example.org.", "It is not called", "Users that match @bot_.* are its own.",
		"no rate limits", "not listed in app_service_files yet",
	} {
		if !strings.Contains(check.stdout, part) {
			t.Errorf("%q is missing in %+v", part, check)
		}
	}
	listed := append(environ, "HOMESERVER_APP_SERVICE_FILES="+file)
	if got := runWith(t, nil, listed, "appservice", "check", file); got.code != exitOK || strings.Contains(got.stdout, "not listed") {
		t.Errorf("got %+v", got)
	}
	if got := runWith(t, nil, listed, "config", "check"); got.code != exitOK || !strings.Contains(got.stdout, file) {
		t.Errorf("got %+v", got)
	}
	if err := os.WriteFile(second, []byte(readFile(t, file)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"appservice check " + second, "config check"} {
		environ := append(environ, "HOMESERVER_APP_SERVICE_FILES="+file+","+second)
		got := runWith(t, nil, environ, strings.Fields(args)...)
		if got.code != exitFailure || !strings.Contains(got.stderr, "second.yaml:2: id: is that of the service in") &&
			!strings.Contains(got.stderr, "bot.yaml:2: id: is that of the service in") {
			t.Errorf("%s: got %+v", args, got)
		}
	}
	if got := runWith(t, nil, append(environ, "HOMESERVER_APP_SERVICE_FILES="+dir+"/none.yaml"), "serve"); got.code != exitFailure || !strings.Contains(got.stderr, "none.yaml") {
		t.Errorf("got %+v", got)
	}
}
