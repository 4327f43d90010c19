package config

import (
	"encoding"
	"reflect"
	"strings"
)

// EnvPrefix begins the name of every environment variable that the server reads.
const EnvPrefix = "HOMESERVER_"

// fileSuffix ends the name of a variable that names a file with a secret instead of holding it.
const fileSuffix = "_FILE"

// Key is one setting.
type Key struct {
	// Name is its path in the file: "database.url".
	Name string
	// Env is its environment variable: "HOMESERVER_DATABASE_URL"; empty: it can be set in the file only.
	Env string
	// Secret reports that it is never printed, and that Env+"_FILE" may name a file
	// with it.
	Secret bool

	index []int
	oneof string
}

// field returns the place of the key in cfg, which points to a Config.
func (k Key) field(cfg *Config) reflect.Value {
	return reflect.ValueOf(cfg).Elem().FieldByIndex(k.index)
}

// Keys returns every setting there is, in the order of the fields of [Config].
func Keys() []Key { return keysOf(reflect.TypeFor[Config](), "", nil) }

func keysOf(t reflect.Type, prefix string, index []int) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("yaml")
		if tag == "-" {
			continue
		}
		name := join(prefix, tag)
		at := append(append([]int(nil), index...), i)
		if isSection(f.Type) {
			keys = append(keys, keysOf(f.Type, name, at)...)
			continue
		}
		env := EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
		if f.Tag.Get("env") == "-" {
			env = ""
		}
		keys = append(keys, Key{
			Name:   name,
			Env:    env,
			Secret: f.Type == reflect.TypeFor[Secret](),
			index:  at,
			oneof:  f.Tag.Get("oneof"),
		})
	}
	return keys
}

// isSection reports whether values of the type are groups of settings rather than one setting.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// nearest returns the candidate that a mistyped name was most likely meant to be, or "".
func nearest(name string, candidates []string) string {
	best, bestDistance := "", max(2, len(name)/4)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
