package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"homeserver/internal/server/config"
)

// The files of the repository that describe the container.
const (
	dockerfile   = "../../Dockerfile"
	dockerignore = "../../.dockerignore"
	composeFile  = "../../docker-compose.yml"
)

// instruction is one instruction of a Dockerfile.
type instruction struct{ name, args string }

// image returns the instructions of the last stage of the Dockerfile, which is the image.
func image(t *testing.T) []instruction {
	t.Helper()
	all := stages(t)
	return all[len(all)-1]
}

// stages returns the instructions of each stage of the Dockerfile.
func stages(t *testing.T) (all [][]instruction) {
	t.Helper()
	for line := range strings.Lines(readFile(t, dockerfile)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		if len(all) > 0 {
			all[len(all)-1] = append(all[len(all)-1], instruction{name, args})
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no stages", dockerfile)
	}
	return all
}

// only returns the arguments of the instructions with the name.
func only(stage []instruction, name string) []string {
	var args []string
	for _, i := range stage {
		if i.name == name {
			args = append(args, i.args)
		}
	}
	return args
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

type compose struct {
	Services map[string]struct {
		Build       struct{ Args map[string]string }
		Image       string
		Profiles    []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Environment map[string]string
		Ports       []string
		Volumes     []string
		Healthcheck struct{ Test []string }
	}
	Networks map[string]struct {
		IPAM struct {
			Config []struct{ Subnet string }
		}
	}
	Volumes map[string]any
	// The anchor has to be read for others to point to it.
	Password string `yaml:"x-database-password"`
}

// readCompose reads the file as compose does with the variables, each NAME=VALUE.
func readCompose(t *testing.T, variables ...string) compose {
	t.Helper()
	text, err := interpolate(readFile(t, composeFile), variables)
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// interpolate replaces what compose replaces: ${NAME:-else}, ${NAME:+if set}, ${NAME:?error}, one in another too.
func interpolate(text string, variables []string) (string, error) {
	before, rest, found := strings.Cut(text, "${")
	if !found {
		return text, nil
	}
	end, depth := 0, 1
	for ; depth > 0 && end < len(rest); end++ {
		switch {
		case rest[end] == '}':
			depth--
		case strings.HasPrefix(rest[end:], "${"):
			depth++
		}
	}
	value, err := substitute(rest[:end-1], variables)
	if err != nil {
		return "", err
	}
	after, err := interpolate(rest[end:], variables)
	return before + value + after, err
}

// substitute returns what stands for one ${expression}.
func substitute(expression string, variables []string) (string, error) {
	name, operation, found := strings.Cut(expression, ":")
	if !found || operation == "" {
		return "", fmt.Errorf("${%s} says nothing of a variable that is not set", expression)
	}
	value := ""
	for _, v := range variables {
		if is, ok := strings.CutPrefix(v, name+"="); ok {
			value = is
		}
	}
	operator, other := operation[0], operation[1:]
	switch {
	case operator == '-' && value == "", operator == '+' && value != "":
		return interpolate(other, variables)
	case operator == '+':
		return "", nil
	case operator == '?' && value == "":
		return "", fmt.Errorf("%s: %s", name, other)
	}
	return value, nil
}

// containerConfig returns the configuration in the container that compose starts with the variables.
func containerConfig(t *testing.T, variables ...string) *config.Config {
	t.Helper()
	environ := only(image(t), "ENV")
	for name, value := range readCompose(t, variables...).Services["homeserver"].Environment {
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		t.Fatalf("%v: %v", environ, err)
	}
	return cfg
}

func TestImageIsWhatTheServerExpects(t *testing.T) {
	t.Parallel()
	stage := image(t)
	cfg, err := config.Load(config.Sources{Environ: only(stage, "ENV")})
	if err != nil {
		t.Fatal(err)
	}
	if got := only(stage, "VOLUME"); !slices.Equal(got, []string{cfg.DataDir}) {
		t.Errorf("the volume is %v, the data is in %s", got, cfg.DataDir)
	}
	var ports []string
	for i, l := range cfg.Listen {
		ports = append(ports, l.Address[strings.LastIndex(l.Address, ":")+1:])
		want := config.Default().Listen[i]
		if l.TLS != want.TLS || !strings.HasSuffix(want.Address, ":"+ports[i]) {
			t.Errorf("the image listens on %s, the server by default on %s", l, want)
		}
		if l.Loopback() {
			t.Errorf("nobody outside of the container reaches %s", l)
		}
	}
	if got := only(stage, "EXPOSE"); !slices.Equal(got, []string{strings.Join(ports, " ")}) {
		t.Errorf("exposes %v, listens on %v", got, ports)
	}
	if got := only(stage, "USER"); len(got) != 1 || strings.HasPrefix(got[0], "0") || strings.HasPrefix(got[0], "root") {
		t.Errorf("runs as %v", got)
	}
	if cfg.RegistrationOpen() {
		t.Error("everybody may register on a server that listens on all addresses")
	}
}

func TestImageRunsCommandsThatExist(t *testing.T) {
	t.Parallel()
	stage := image(t)
	binary := "/usr/local/bin/homeserver"
	if got := only(stage, "ENTRYPOINT"); !slices.Equal(got, []string{`["` + binary + `"]`}) {
		t.Errorf("the entry point is %v", got)
	}
	check := regexp.MustCompile(`CMD \["([^"]+)", "([^"]+)"\]$`).FindStringSubmatch(only(stage, "HEALTHCHECK")[0])
	if check == nil || check[1] != binary {
		t.Fatalf("the health check is %v", only(stage, "HEALTHCHECK"))
	}
	if c, _ := findCommand(check[2:]); c == nil {
		t.Errorf("there is no command %s", check[2])
	}
	if !slices.ContainsFunc(only(stage, "COPY"), func(args string) bool { return strings.HasSuffix(args, " "+binary) }) {
		t.Errorf("nothing puts the program at %s", binary)
	}
}

// The version is given to the linker by its name, which a renaming would break without a word.
func TestBuildsSetAVariableThatExists(t *testing.T) {
	t.Parallel()
	for _, file := range []string{dockerfile, repository + "Makefile", repository + "scripts/release"} {
		if !strings.Contains(readFile(t, file), "-X homeserver/internal/server/buildinfo.version=") {
			t.Errorf("%s does not set the version", file)
		}
	}
	if !regexp.MustCompile(`(?m)^var version string$`).MatchString(readFile(t, repository+"internal/server/buildinfo/buildinfo.go")) {
		t.Error("there is no variable version")
	}
}

func TestImageIsBuiltFromFilesThatAreSent(t *testing.T) {
	t.Parallel()
	sent := readFile(t, dockerignore)
	for _, needed := range []string{"go.mod", "go.sum", "cmd", "internal", "migrations"} {
		if !strings.Contains(sent, "\n!"+needed+"\n") {
			t.Errorf("%s is not sent to the engine", needed)
		}
	}
	// What is sent holds all packages of the module that the program is made of.
	version := regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+)`).FindStringSubmatch(readFile(t, dockerfile))
	if version == nil || !strings.Contains(readFile(t, "../../go.mod"), "\ngo "+version[1]) {
		t.Errorf("the image is built with Go %v, which go.mod does not name", version)
	}
}

func TestComposeGivesTheSamePortsAsTheServerAlone(t *testing.T) {
	t.Parallel()
	cfg := containerConfig(t)
	service := readCompose(t).Services["homeserver"]
	if len(service.Ports) != len(cfg.Listen) {
		t.Fatalf("publishes %v, listens on %v", service.Ports, cfg.Listen)
	}
	for i, l := range config.Default().Listen {
		port := strings.TrimPrefix(l.Address, "localhost:")
		if want := "127.0.0.1:" + port + ":" + port; service.Ports[i] != want {
			t.Errorf("publishes %s, want %s", service.Ports[i], want)
		}
	}
	if cfg.ServerName != "localhost" || !cfg.RegistrationOpen() {
		t.Errorf("the server %s has registration open: %v", cfg.ServerName, cfg.RegistrationOpen())
	}
}

func TestComposeKeepsTheData(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for service, place := range map[string]string{"homeserver": containerConfig(t).DataDir, "postgres": "/var/lib/postgresql/data"} {
		volumes := c.Services[service].Volumes
		if len(volumes) != 1 {
			t.Fatalf("%s has the volumes %v", service, volumes)
		}
		name, target, _ := strings.Cut(volumes[0], ":")
		if _, declared := c.Volumes[name]; !declared || path.Clean(target) != place {
			t.Errorf("%s: %s is not a declared volume at %s", service, volumes[0], place)
		}
	}
}

func TestComposeDatabaseIsTheOneThatIsConfigured(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	address, err := url.Parse(string(containerConfig(t).Database.URL))
	if err != nil {
		t.Fatal(err)
	}
	database, found := c.Services[address.Hostname()]
	if !found {
		t.Fatalf("there is no service %s", address.Hostname())
	}
	if _, set := address.User.Password(); set {
		t.Error("the password is in the URL, too")
	}
	for name, want := range map[string]string{
		"POSTGRES_USER":        address.User.Username(),
		"POSTGRES_PASSWORD":    c.Services["homeserver"].Environment["PGPASSWORD"],
		"POSTGRES_DB":          strings.TrimPrefix(address.Path, "/"),
		"POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C",
	} {
		if got := database.Environment[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := c.Services["homeserver"].DependsOn[address.Hostname()].Condition; got != "service_healthy" {
		t.Errorf("the server starts when its database is %q", got)
	}
	if len(database.Healthcheck.Test) == 0 {
		t.Error("nobody knows when the database is healthy")
	}
}
