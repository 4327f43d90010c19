package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"homeserver/internal/matrix"
	"homeserver/internal/yamlfile"
)

// maxFileBytes bounds a seed file; what is larger is made by the generator, or by repeat.
const maxFileBytes = 64 << 20

// Read reads a seed file for a server of that name. Each mistake is a line of the error, with the file and the line in
// it, and what is allowed there. others are users whom the server has beside those of the file.
func Read(path, serverName string, others ...string) (*Seed, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the seed: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: is longer than %d bytes", path, maxFileBytes)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the seed: %w", err)
	}
	return parse(path, content, serverName, others)
}

// parse parses and checks the content of the file at path.
func parse(path string, content []byte, serverName string, others []string) (*Seed, error) {
	file, err := yamlfile.Parse(path, content)
	if err != nil {
		return nil, err
	}
	d := &decoder{problems: problems{path: path, lines: map[string]int{}}}
	s := &Seed{path: path}
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			d.report(line(doc.Body), "---", "a seed is one YAML document")
		default:
			d.value(doc.Body, reflect.ValueOf(s).Elem(), "", "")
		}
	}
	if len(d.list) == 0 {
		newChecker(&d.problems, s, serverName, others).seed()
	}
	if len(d.list) > 0 {
		return nil, errors.Join(d.list...)
	}
	return s, nil
}

// problems gathers what is wrong with a file.
type problems struct {
	path string
	list []error
	// lines are those of the keys that are free.
	lines map[string]int
}

func (p *problems) report(line int, key, format string, args ...any) {
	p.list = append(p.list, fmt.Errorf("%s:%d: %s: %s", p.path, line, key, fmt.Sprintf(format, args...)))
}

func line(n ast.Node) int { return n.GetToken().Position.Line }

// decoder reads a tree of YAML into the types of file.go.
type decoder struct{ problems }

// value reads n, which is at the key, into v. oneof lists the texts that are allowed; "": all are.
func (d *decoder) value(n ast.Node, v reflect.Value, key, oneof string) {
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if text := yamlfile.Unsupported(n); text != "" {
		d.report(line(n), orSeed(key), "%s", text)
		return
	}
	switch into := v.Addr().Interface().(type) {
	case *Text:
		into.Line = line(n)
		into.Value = d.text(n, key, "")
	case *Time:
		d.time(n, into, key)
	case *Duration:
		if length, err := parseLength(d.text(n, key, "")); err != nil {
			d.report(line(n), key, "must be a length of time such as 90s, 5m or 2d")
		} else {
			*into = Duration(length)
		}
	case *json.RawMessage:
		*into = d.json(n, key)
	default:
		d.plain(n, v, key, oneof)
	}
}

// plain reads values by their kind in Go.
func (d *decoder) plain(n ast.Node, v reflect.Value, key, oneof string) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, key)
	case reflect.Slice:
		d.items(n, v, key)
	case reflect.Map:
		d.entries(n, v, key)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), key, oneof)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.report(line(n), key, "must be true or false")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		number, err := strconv.Atoi(d.text(n, key, ""))
		if err != nil || number < 1 {
			d.report(line(n), key, "must be a whole number, 1 or more")
		}
		v.SetInt(int64(number))
	default:
		v.SetString(d.text(n, key, oneof))
	}
}

// text returns a text, which is one of those that oneof lists.
func (d *decoder) text(n ast.Node, key, oneof string) string {
	text, ok := yamlfile.Scalar(n)
	switch {
	case !ok:
		d.report(line(n), key, "must be a single plain value")
	case oneof != "" && !slices.Contains(strings.Fields(oneof), text):
		d.report(line(n), key, "must be one of %s", strings.Join(strings.Fields(oneof), ", "))
	}
	return text
}

// shorthand are the types of which a single text, in place of a mapping, sets one key.
var shorthand = map[reflect.Type]string{reflect.TypeFor[Member](): "user"}

// structure reads a mapping whose keys are all known.
func (d *decoder) structure(n ast.Node, v reflect.Value, key string) {
	if at := v.FieldByName("Line"); at.IsValid() {
		at.SetInt(int64(line(n)))
	}
	fields := fieldsOf(v.Type())
	if _, isText := yamlfile.Scalar(n); isText {
		if short, ok := fields[shorthand[v.Type()]]; ok {
			d.value(n, v.FieldByIndex(short.Index), key, "")
			return
		}
	}
	mapping := d.mapping(n, key, "must be a mapping with the keys "+names(fields))
	if mapping == nil {
		return
	}
	for it := mapping.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		if at := v.FieldByName("Line"); at.IsValid() && it.Key().GetToken().Position.Line < int(at.Int()) {
			at.SetInt(int64(line(it.Key())))
		}
		field, known := fields[name]
		if !known {
			d.report(line(it.Key()), join(key, name), "is not a known key; known here are %s", names(fields))
			continue
		}
		d.value(it.Value(), v.FieldByIndex(field.Index), join(key, name), field.Tag.Get("oneof"))
	}
}

// mapping returns n as a mapping, or reports that it is none.
func (d *decoder) mapping(n ast.Node, key, want string) ast.MapNode {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		d.report(line(n), orSeed(key), "%s", want)
		return nil
	}
	for it := mapping.MapRange(); it.Next(); {
		if text := yamlfile.Unsupported(it.Key()); text != "" {
			d.report(line(it.Key()), orSeed(key), "%s", text)
			return nil
		}
	}
	return mapping
}

// items reads a list.
func (d *decoder) items(n ast.Node, v reflect.Value, key string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(line(n), key, "must be a list, one item on each line after a dash")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, item := range sequence.Values {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", key, i), "")
	}
}

// entries reads a mapping whose keys are free.
func (d *decoder) entries(n ast.Node, v reflect.Value, key string) {
	mapping := d.mapping(n, key, "must be a mapping of keys to values")
	if mapping == nil {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for it := mapping.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		d.lines[join(key, name)] = line(it.Key())
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(it.Value(), value, join(key, name), "")
		v.SetMapIndex(reflect.ValueOf(name), value)
	}
}

// time reads a moment, or how long ago it was.
func (d *decoder) time(n ast.Node, into *Time, key string) {
	text := d.text(n, key, "")
	*into = Time{Line: line(n), set: true}
	var err error
	if into.ago, err = parseLength(text); err == nil {
		return
	}
	if into.fixed, err = time.Parse(time.RFC3339, text); err != nil {
		d.report(line(n), key, "must be a time such as 2026-03-01T09:30:00Z, or how long ago it was, such as 90s, 5m, 3h, 2d or 1w")
	}
}

// parseLength parses a length of time: like Go, and with days and weeks.
func parseLength(text string) (time.Duration, error) {
	total, rest := time.Duration(0), text
	for _, u := range []struct {
		name   string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		before, after, found := strings.Cut(rest, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, err
		}
		total, rest = total+time.Duration(n)*u.length, after
	}
	if rest == "" && total > 0 {
		return total, nil
	}
	more, err := time.ParseDuration(rest)
	if err == nil && more < 0 {
		err = errors.New("is negative")
	}
	return total + more, err
}

// json returns a value as JSON.
func (d *decoder) json(n ast.Node, key string) json.RawMessage {
	raw, err := matrix.EncodeJSON(d.any(n, key))
	if err != nil {
		d.report(line(n), key, "cannot be written as JSON")
	}
	return raw
}

// any returns a value as Go's JSON package holds it.
func (d *decoder) any(n ast.Node, key string) any {
	if text := yamlfile.Unsupported(n); text != "" {
		d.report(line(n), key, "%s", text)
		return nil
	}
	switch n := n.(type) {
	case *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return n.Value
	case *ast.FloatNode:
		return n.Value
	case *ast.SequenceNode:
		list := []any{}
		for i, item := range n.Values {
			list = append(list, d.any(item, fmt.Sprintf("%s[%d]", key, i)))
		}
		return list
	case ast.MapNode:
		object := map[string]any{}
		for it := n.MapRange(); it.Next(); {
			name := it.Key().GetToken().Value
			object[name] = d.any(it.Value(), join(key, name))
		}
		return object
	}
	return d.text(n, key, "")
}

// fieldsOf returns the fields of the struct t by their key.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" && tag != "-" {
			fields[tag] = t.Field(i)
		}
	}
	return fields
}

func names(fields map[string]reflect.StructField) string {
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}

// orSeed names the whole file where there is no key.
func orSeed(key string) string {
	if key == "" {
		return "seed"
	}
	return key
}
