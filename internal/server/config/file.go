package config

import (
	"encoding"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"homeserver/internal/yamlfile"
)

// readFile reads the settings of a YAML file.
func (l *loader) readFile(path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("read the configuration: %w", err))
		return
	}
	l.parse(path, content)
}

// parse reads the settings from the content of the YAML file at path.
func (l *loader) parse(path string, content []byte) {
	file, err := yamlfile.Parse(path, content)
	if err != nil {
		l.problems = append(l.problems, err)
		return
	}
	f := &fileReader{loader: l, path: path}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			f.reportNode(doc.Body, "---", "a configuration is one YAML document")
			return
		}
		if doc.Body != nil {
			f.section(doc.Body, reflect.ValueOf(l.cfg).Elem(), "")
		}
	}
}

// fileReader walks the tree of a YAML file beside the tree of the Config.
type fileReader struct {
	*loader
	path string
}

func (f *fileReader) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, n.GetToken().Position.Line)
}

func (f *fileReader) reportNode(n ast.Node, key, text string) { f.report(f.at(n), key, text) }

// section reads the mapping n into the struct v.
func (f *fileReader) section(n ast.Node, v reflect.Value, name string) {
	key := name
	if key == "" {
		key = "configuration"
	}
	if text := yamlfile.Unsupported(n); text != "" {
		f.reportNode(n, key, text)
		return
	}
	mapping, ok := n.(ast.MapNode)
	if !ok {
		f.reportNode(n, key, "must be a mapping of keys to values: "+strings.Join(childNames(v.Type()), ", "))
		return
	}
	fields := childFields(v.Type())
	for it := mapping.MapRange(); it.Next(); {
		keyNode, value := it.Key(), it.Value()
		key := keyNode.GetToken().Value
		if text := yamlfile.Unsupported(keyNode); text != "" {
			f.reportNode(keyNode, join(name, key), text)
			continue
		}
		field, known := fields[key]
		if !known {
			f.unknownKey(keyNode, key, name, v.Type())
			continue
		}
		f.value(value, v.FieldByIndex(field.Index), join(name, key), field.Tag.Get("oneof"))
	}
}

// value reads n into v, which is a section, a list or one setting. A key without a value keeps its
// default, so that a section whose lines are all commented out is fine.
func (f *fileReader) value(n ast.Node, v reflect.Value, name, oneof string) {
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if text := yamlfile.Unsupported(n); text != "" {
		f.reportNode(n, name, text)
		return
	}
	f.origins[name] = f.at(n)
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	_, isMap := n.(ast.MapNode)
	switch {
	case v.Kind() == reflect.Struct && (isMap || !isText):
		f.section(n, v, name)
	case v.Kind() == reflect.Slice:
		f.list(n, v, name, oneof)
	default:
		f.scalar(n, v, name, oneof)
	}
}

func (f *fileReader) list(n ast.Node, v reflect.Value, name, oneof string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		f.reportNode(n, name, "must be a list, one item on each line after a dash")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, item := range sequence.Values {
		f.value(item, v.Index(i), fmt.Sprintf("%s[%d]", name, i), oneof)
	}
	if len(sequence.Values) == 0 {
		v.SetZero()
	}
}

func (f *fileReader) scalar(n ast.Node, v reflect.Value, name, oneof string) {
	text, ok := yamlfile.Scalar(n)
	if !ok {
		f.reportNode(n, name, "must be a single plain value")
		return
	}
	if err := setText(v, text, oneof); err != nil {
		f.reportNode(n, name, err.Error())
	}
}

func (f *fileReader) unknownKey(n ast.Node, key, section string, t reflect.Type) {
	siblings := childNames(t)
	if near := nearest(key, siblings); near != "" {
		f.reportNode(n, join(section, key), "is not a known key; did you mean "+join(section, near)+"?")
		return
	}
	// It may be a known key that is in the wrong section.
	for _, k := range f.keys {
		if strings.HasSuffix(k.Name, "."+key) {
			f.reportNode(n, join(section, key), "is not a known key; did you mean "+k.Name+"?")
			return
		}
	}
	f.reportNode(n, join(section, key), "is not a known key; known here are "+strings.Join(siblings, ", "))
}

// childFields returns the fields of the struct t by their key.
func childFields(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "-" {
			fields[tag] = t.Field(i)
		}
	}
	return fields
}

func childNames(t reflect.Type) []string { return slices.Sorted(maps.Keys(childFields(t))) }
