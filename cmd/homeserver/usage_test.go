package main

import (
	"strings"
	"testing"
)

func TestHelpNamesEveryCommand(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		got := runArgs(t, args...)
		if got.code != exitOK || got.stderr != "" {
			t.Errorf("%v: code %d, %s", args, got.code, got.stderr)
		}
		for _, c := range commands() {
			if !strings.Contains(got.stdout, "\n  "+c.name) || !strings.Contains(got.stdout, c.summary) {
				t.Errorf("%v says nothing of %s", args, c.name)
			}
		}
	}
}

func TestHelpOfEachCommandNamesItsFlags(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		words := strings.Fields(c.name)
		help := runArgs(t, append([]string{"help"}, words...)...)
		flag := runArgs(t, append(words, "--help")...)
		if help.code != exitOK || help != flag {
			t.Errorf("%s: help says %+v, --help %+v", c.name, help, flag)
		}
		for line := range strings.Lines(help.stdout) {
			if len([]rune(line)) > 121 {
				t.Errorf("%s: too wide for a terminal: %s", c.name, line)
			}
		}
	}
	for command, flags := range map[string]string{
		"serve":           "--config FILE,--data-dir FOLDER,--listen ADDRESS,--server-name NAME",
		"dev":             "--user NAME:PASSWORD[:admin],--listen ADDRESS,--ready-file FILE,--database-url URL,--json,--control-from-network,--exit-with-parent,--exit-at-eof",
		"user create":     "--admin,--password-file FILE,--config FILE",
		"user password":   "--logout,--password-file FILE",
		"user deactivate": "--erase,--yes",
		"backup":          "--config FILE,--data-dir FOLDER",
		"restore":         "--config FILE,--data-dir FOLDER",
		"doctor":          "--repair,--config FILE",
	} {
		text := runArgs(t, append([]string{"help"}, strings.Fields(command)...)...).stdout
		for flag := range strings.SplitSeq(flags, ",") {
			if !strings.Contains(text, "\n  "+flag+" ") {
				t.Errorf("%s: %s is missing in:\n%s", command, flag, text)
			}
		}
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"bake":                        `"bake" is not a command`,
		"help bake":                   `"bake" is not a command`,
		"user":                        "Usage: homeserver user COMMAND",
		"user --admin":                "Usage: homeserver user COMMAND",
		"config":                      "\n  config check ",
		"user bake alice":             `"user bake" is not a command`,
		"--bake":                      "serve: flag provided but not defined: -bake; see `homeserver help serve`",
		"serve now":                   `serve: takes no argument "now"`,
		"serve --listen":              "serve: flag needs an argument: -listen",
		"user create":                 "user create: needs NAME",
		"user create alice bob":       "user create: needs NAME",
		"user create alice --bake":    "user create: flag provided but not defined: -bake",
		"dev --user alice":            `must be NAME:PASSWORD`,
		"dev --user :secret":          `must be NAME:PASSWORD`,
		"dev --user :secret:admin":    `must be NAME:PASSWORD or NAME:PASSWORD:admin`,
		"user deactivate alice":       "add --yes",
		"config check --listen a b":   `config check: takes no argument "b"`,
		"version --config x":          "version: flag provided but not defined: -config",
		"user list --admin":           "user list: flag provided but not defined: -admin",
		"user password alice --admin": "user password: flag provided but not defined: -admin",
		"backup":                      "backup: needs DIR",
		"restore a b":                 "restore: needs DIR",
		"doctor now":                  `doctor: takes no argument "now"`,
	} {
		got := runArgs(t, strings.Fields(args)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("%s: got %+v, want %q", args, got, want)
		}
	}
}

func TestHelpOfSeveralCommandsListsThem(t *testing.T) {
	t.Parallel()
	help, flag := runArgs(t, "help", "user"), runArgs(t, "user", "--help")
	if help.code != exitOK || help.stderr != "" || help != flag {
		t.Errorf("help says %+v, --help %+v", help, flag)
	}
	for _, c := range commands() {
		if strings.Contains(help.stdout, c.summary) != strings.HasPrefix(c.name, "user ") {
			t.Errorf("%s is missing, or does not belong there:\n%s", c.name, help.stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"version", "--version"} {
		if got := runArgs(t, word); got.code != exitOK || !strings.HasPrefix(got.stdout, "homeserver ") || got.stderr != "" {
			t.Errorf("%s: got %+v", word, got)
		}
	}
}
