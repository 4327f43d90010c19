package main

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What an operator writes into .env for a server that others reach.
var publicServer = []string{
	"HOMESERVER_SERVER_NAME=example.org",
	"HOMESERVER_PUBLIC_BASE_URL=https://matrix.example.org",
	"HOMESERVER_REGISTRATION_ENABLED=false",
	"PROXY_HOSTS=example.org, matrix.example.org",
	"DATABASE_PASSWORD=a long one",
	"COMPOSE_PROFILES=proxy",
}

func TestComposeSaysWhatIsWrittenForOthers(t *testing.T) {
	t.Parallel()
	if want := "#   " + strings.Join(publicServer, "\n#   ") + "\n"; !strings.Contains(readFile(t, composeFile), want) {
		t.Errorf("there is no %s", want)
	}
	cfg := containerConfig(t, publicServer...)
	if cfg.ServerName != "example.org" || cfg.PublicBaseURL != "https://matrix.example.org" || cfg.RegistrationOpen() {
		t.Errorf("the server is %s at %s, open: %v", cfg.ServerName, cfg.PublicBaseURL, cfg.RegistrationOpen())
	}
}

// A server that others reach is not open to everybody because nobody has thought of it.
func TestComposeAsksWhoMayRegister(t *testing.T) {
	t.Parallel()
	_, err := interpolate(readFile(t, composeFile), []string{"HOMESERVER_SERVER_NAME=example.org"})
	if err == nil || !strings.HasPrefix(err.Error(), "HOMESERVER_REGISTRATION_ENABLED: ") {
		t.Errorf("got %v", err)
	}
}

func TestComposeHasOnePassword(t *testing.T) {
	t.Parallel()
	c := readCompose(t, publicServer...)
	for service, variable := range map[string]string{"homeserver": "PGPASSWORD", "postgres": "POSTGRES_PASSWORD"} {
		if got := c.Services[service].Environment[variable]; got != "a long one" {
			t.Errorf("%s of %s is %q", variable, service, got)
		}
	}
	if places := strings.Count(readFile(t, composeFile), "${DATABASE_PASSWORD"); places != 1 {
		t.Errorf("the password stands in %d places", places)
	}
}

func TestComposePassesTheVersion(t *testing.T) {
	t.Parallel()
	if got := readCompose(t, "VERSION=v1.2.3").Services["homeserver"].Build.Args["VERSION"]; got != "v1.2.3" {
		t.Errorf("the build is told that the version is %q", got)
	}
	if !strings.Contains(readFile(t, dockerfile), "\nARG VERSION=\n") {
		t.Error("the build does not ask for the version")
	}
}

func TestComposeProxyStandsBeforeTheServer(t *testing.T) {
	t.Parallel()
	c, caddyfile := readCompose(t), readFile(t, repository+"deploy/Caddyfile")
	proxy := c.Services["proxy"]
	if !slices.Equal(proxy.Profiles, []string{"proxy"}) {
		t.Errorf("it runs with the profiles %v", proxy.Profiles)
	}
	if !slices.Contains(proxy.Volumes, "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro") {
		t.Errorf("it has the volumes %v, and no configuration", proxy.Volumes)
	}
	if _, kept := c.Volumes["certificates"]; !kept || !slices.Contains(proxy.Volumes, "certificates:/data") {
		t.Errorf("it has the volumes %v, and asks for new certificates at each start", proxy.Volumes)
	}
	cfg := containerConfig(t)
	upstream := regexp.MustCompile(`(?m)^\treverse_proxy (\w+)(:\d+) \{$`).FindStringSubmatch(caddyfile)
	if upstream == nil || upstream[1] != "homeserver" || cfg.Listen[0].TLS || !strings.HasSuffix(cfg.Listen[0].Address, upstream[2]) {
		t.Errorf("it hands on to %v, and the server listens on %s", upstream, cfg.Listen[0])
	}
	for _, variable := range regexp.MustCompile(`\{\$(\w+)`).FindAllStringSubmatch(caddyfile, -1) {
		if proxy.Environment[variable[1]] == "" {
			t.Errorf("compose does not set %s", variable[1])
		}
	}
	// It bounds neither /sync nor files by itself.
	if bound := regexp.MustCompile(`(?m)^\s*(request_body|(read|write|response_header)_timeout|max_size)\b`).FindString(caddyfile); bound != "" {
		t.Errorf("it has %s", bound)
	}
	subnet, err := netip.ParsePrefix(c.Networks["default"].IPAM.Config[0].Subnet)
	if err != nil || !slices.Contains(cfg.TrustedProxies, subnet) {
		t.Errorf("the server believes %v, and the proxy is in %v: %v", cfg.TrustedProxies, subnet, err)
	}
}
