package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// FileVariable is the environment variable that names the YAML file where nothing else does.
const FileVariable = EnvPrefix + "CONFIG"

// Sources says where a configuration comes from, from the weakest to the strongest.
type Sources struct {
	// File is the path of the YAML file; empty: FileVariable names it.
	File string
	// DefaultFile is the path of a file that is read where neither names one, and it exists; empty: there is
	// none.
	DefaultFile string
	// NoFile is true if no file is to be read, even if one is named.
	NoFile bool
	// Environ is the environment in the form of [os.Environ].
	Environ []string
	// Flags are settings from the command line.
	Flags []Flag
	// CheckFiles says that the files and folders that the configuration names are looked at, too.
	CheckFiles bool
}

// Flag is one setting from the command line.
type Flag struct {
	// Name is what the user typed: "--listen".
	Name string
	// Key is the name of the setting: "listen".
	Key string
	// Value is its text; the items of a list are separated by commas.
	Value string
}

// Load reads the configuration. The error joins one error for each problem, each on a line of its own.
func Load(src Sources) (*Config, error) {
	l := &loader{cfg: Default(), keys: Keys(), origins: map[string]string{}}
	if l.cfg.File = src.file(); l.cfg.File != "" {
		l.readFile(l.cfg.File)
	}
	l.readEnviron(src.Environ)
	l.readFlags(src.Flags)
	if len(l.problems) == 0 {
		// The rules between settings say nothing useful while one of them could not be read.
		for _, p := range l.cfg.validate() {
			l.report(l.origin(p.key), p.key, p.text)
		}
		if src.CheckFiles {
			for _, p := range l.cfg.checkFiles(time.Now()) {
				l.report(l.origin(p.key), p.key, p.text)
			}
		}
	}
	if err := errors.Join(l.problems...); err != nil {
		return nil, err
	}
	return l.cfg, nil
}

// file returns the path of the file to read; empty: there is none.
func (s Sources) file() string {
	if s.NoFile {
		return ""
	}
	if s.File != "" {
		return s.File
	}
	for _, kv := range s.Environ {
		if path, found := strings.CutPrefix(kv, FileVariable+"="); found && path != "" {
			return path
		}
	}
	// One that is there and cannot be looked at is read all the same, to say so.
	if _, err := os.Stat(s.DefaultFile); s.DefaultFile == "" || errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return s.DefaultFile
}

// loader gathers one configuration and its errors.
type loader struct {
	cfg  *Config
	keys []Key
	// origins has for each key where its value was set.
	origins  map[string]string
	problems []error
}

func (l *loader) report(origin, key, text string) {
	l.problems = append(l.problems, fmt.Errorf("%s: %s: %s", origin, key, text))
}

// origin returns where a key, or failing that its list or section, was set.
func (l *loader) origin(key string) string {
	for {
		if origin, ok := l.origins[key]; ok {
			return origin
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return "configuration"
		}
		key = key[:cut]
	}
}

// notOurs matches the variables that Kubernetes sets in every container once a service is called
// "homeserver", which nobody wrote and which so are no mistake, and those that the project's tests read.
var notOurs = regexp.MustCompile(`^HOMESERVER_(TEST_.*|SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)$`)

func (l *loader) readEnviron(environ []string) {
	byEnv := make(map[string]Key, len(l.keys))
	for _, k := range l.keys {
		if k.Env != "" {
			byEnv[k.Env] = k
		}
	}
	given := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, EnvPrefix) && name != FileVariable && value != "" && !notOurs.MatchString(name) {
			given[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		key, known := byEnv[name]
		if known {
			l.set(key, "environment variable "+name, given[name])
			continue
		}
		key, known = byEnv[strings.TrimSuffix(name, fileSuffix)]
		if !known || !key.Secret {
			l.unknownVariable(name)
			continue
		}
		if given[key.Env] != "" {
			l.report("environment variable "+name, key.Name, "is also set by "+key.Env+"; set one of them")
			continue
		}
		l.setFromFile(key, name, given[name])
	}
}

func (l *loader) unknownVariable(name string) {
	known := []string{FileVariable}
	for _, k := range l.keys {
		if k.Env != "" {
			known = append(known, k.Env)
		}
		if k.Secret {
			known = append(known, k.Env+fileSuffix)
		}
	}
	hint := "`homeserver config check` lists the known keys"
	if near := nearest(name, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	l.problems = append(l.problems, fmt.Errorf("environment variable %s: is not known; %s", name, hint))
}

func (l *loader) setFromFile(key Key, variable, path string) {
	origin := "environment variable " + variable
	content, err := os.ReadFile(path)
	if err != nil {
		l.report(origin, key.Name, err.Error())
		return
	}
	l.set(key, origin, strings.TrimRight(string(content), "\r\n"))
}

func (l *loader) readFlags(flags []Flag) {
	for _, f := range flags {
		i := slices.IndexFunc(l.keys, func(k Key) bool { return k.Name == f.Key })
		if i < 0 {
			l.report("flag "+f.Name, f.Key, "is not a known key")
			continue
		}
		l.set(l.keys[i], "flag "+f.Name, f.Value)
	}
}

// set sets a key from its text, wherever that came from.
func (l *loader) set(key Key, origin, text string) {
	field := key.field(l.cfg)
	setter := setText
	if field.Kind() == reflect.Slice {
		setter = setList
	}
	if err := setter(field, text, key.oneof); err != nil {
		l.report(origin, key.Name, err.Error())
		return
	}
	// A list that is set here replaces one from the file with all its items.
	maps.DeleteFunc(l.origins, func(name, _ string) bool { return strings.HasPrefix(name, key.Name+"[") })
	l.origins[key.Name] = origin
}
