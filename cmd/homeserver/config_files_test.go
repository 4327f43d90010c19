package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigCheckLooksAtTheFilesThatItNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	junk := write("junk.pem", "no certificate")
	for name, test := range map[string]struct{ config, want string }{
		"missing":   {"tls:\n  certificate: " + dir + "/none.pem\n  key: " + junk, ":2: tls.certificate: cannot be read"},
		"junk":      {"tls:\n  certificate: " + junk + "\n  key: " + junk, ":2: tls.certificate: " + junk + " and " + junk + " are no certificate"},
		"data file": {"data_dir: " + junk, ":1: data_dir: " + junk + " is not a folder"},
		"media":     {"media:\n  folder: " + junk, ":2: media.folder: " + junk + " is not a folder"},
	} {
		file := write(strings.ReplaceAll(name, " ", "-")+".yaml", test.config)
		got := runWith(t, nil, nil, "config", "check", "--config", file)
		if got.code != exitFailure || !strings.Contains(got.stderr, "homeserver: "+file+test.want) {
			t.Errorf("%s: got %+v, want %s", name, got, test.want)
		}
	}
	file := write("good.yaml", "data_dir: "+dir+"/not-yet")
	if got := runWith(t, nil, nil, "config", "check", "--config", file); got.code != exitOK {
		t.Errorf("a folder that is yet to be made: got %+v", got)
	}
}
