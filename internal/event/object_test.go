package event

import (
	"slices"
	"testing"
)

func TestField(t *testing.T) {
	t.Parallel()
	object := []byte(`{"":0,"array":[1,{"text":"no"},"]"],"escaped":"a\"b\\","false":false,"null":null,"number":-12,` +
		`"object":{"text":"inner","x":{}},"tail\\":"\\","text":"outer"}`)
	for _, c := range []struct{ key, want string }{
		{"", `0`},
		{"array", `[1,{"text":"no"},"]"]`},
		{"escaped", `"a\"b\\"`},
		{"false", `false`},
		{"null", `null`},
		{"number", `-12`},
		{"object", `{"text":"inner","x":{}}`},
		{"text", `"outer"`},
		{"x", ``},
		{"tex", ``},
		{"texts", ``},
	} {
		if got := string(Field(object, c.key)); got != c.want {
			t.Errorf("Field(%q) = %s, want %s", c.key, got, c.want)
		}
	}
}

func TestStringField(t *testing.T) {
	t.Parallel()
	object := []byte(`{"a":"text","b":"","c":1,"d":null,"e":"q\"\\\n\u0001\u00e9","f":["x"]}`)
	for _, c := range []struct {
		key, want string
		ok        bool
	}{
		{"a", "text", true},
		{"b", "", true},
		{"c", "", false},
		{"d", "", false},
		{"e", "q\"\\\n\x01é", true},
		{"f", "", false},
		{"g", "", false},
	} {
		if got, ok := StringField(object, c.key); got != c.want || ok != c.ok {
			t.Errorf("StringField(%q) = %q, %v; want %q, %v", c.key, got, ok, c.want, c.ok)
		}
	}
}

func TestAppendStringOfInvalidText(t *testing.T) {
	t.Parallel()
	if got := string(AppendString(nil, "a\xff\xfeb\xe6")); got != "\"a\ufffdb\ufffd\"" {
		t.Errorf("got %s", got)
	}
}

// For bytes that are not canonical JSON the results are useless, but nothing panics.
func TestFieldOfGarbage(t *testing.T) {
	t.Parallel()
	for _, garbage := range []string{
		``, `{`, `}`, `{}`, `[]`, `"`, `""`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":"`, `{"a":"\`, `{"a":"\"`, `{"a":[`,
		`{"a":[{]`, `{"a":{"`, `{,}`, `{"b":1,,"a":2}`, `{"a" :1}`, `null`, `{"\`, `{"\u`, `{"a":"\u12"`, `{:`, `{"a":1]`,
	} {
		Field([]byte(garbage), "a")
		StringField([]byte(garbage), "a")
		for e := elementsOf([]byte(garbage)); e.next(); {
			Unquote(e.value)
		}
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		array string
		want  []string
	}{
		{`[]`, nil},
		{`[1]`, []string{`1`}},
		{`["a,b",[1,2],{"x":[]},null]`, []string{`"a,b"`, `[1,2]`, `{"x":[]}`, `null`}},
		{`{"a":1}`, nil},
		{``, nil},
	} {
		var got []string
		for e := elementsOf([]byte(c.array)); e.next(); {
			got = append(got, string(e.value))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("elements of %s: %v, want %v", c.array, got, c.want)
		}
	}
}

func TestSetMember(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ object, key, value, want string }{
		{``, "a", `1`, `{"a":1}`},
		{`[]`, "a", `1`, `{"a":1}`},
		{`{}`, "a", `1`, `{"a":1}`},
		{`{"a":1}`, "a", `2`, `{"a":2}`},
		{`{"b":1}`, "a", `2`, `{"a":2,"b":1}`},
		{`{"a":1}`, "b", `2`, `{"a":1,"b":2}`},
		{`{"a":1,"c":3}`, "b", `{}`, `{"a":1,"b":{},"c":3}`},
		{`{"a":1,"b":2,"c":3}`, "b", `0`, `{"a":1,"b":0,"c":3}`},
		{`{"\"":1}`, `"`, `2`, `{"\"":2}`},
		{`{"a":1}`, "\n", `2`, `{"\n":2,"a":1}`},
		{`{"Z":1,"a":2}`, `\`, `3`, `{"Z":1,"\\":3,"a":2}`},
	} {
		got := string(setMember([]byte(c.object), c.key, []byte(c.value)))
		if got != c.want {
			t.Errorf("setMember(%s, %q, %s) = %s, want %s", c.object, c.key, c.value, got, c.want)
		}
		if canonical, err := Canonical([]byte(got), true); err != nil || string(canonical) != got {
			t.Errorf("%s is not canonical", got)
		}
	}
}

func TestAppendWithout(t *testing.T) {
	t.Parallel()
	object := []byte(`{"a":1,"b":{"a":2},"c":[3]}`)
	for _, c := range []struct {
		keys []string
		want string
	}{
		{nil, `{"a":1,"b":{"a":2},"c":[3]}`},
		{[]string{"a"}, `{"b":{"a":2},"c":[3]}`},
		{[]string{"c", "a"}, `{"b":{"a":2}}`},
		{[]string{"a", "b", "c"}, `{}`},
		{[]string{"d"}, `{"a":1,"b":{"a":2},"c":[3]}`},
	} {
		if got := string(appendWithout(nil, object, c.keys...)); got != c.want {
			t.Errorf("without %v: %s, want %s", c.keys, got, c.want)
		}
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", `""`},
		{"plain", `"plain"`},
		{"日本 😀", `"日本 😀"`},
		{"\"", `"\""`},
		{`\`, `"\\"`},
		{"a\"b\\c", `"a\"b\\c"`},
		{"\b\t\n\f\r", `"\b\t\n\f\r"`},
		{"\x00\x0b\x1f", `"\u0000\u000b\u001f"`},
		{"/<>&\x7f", "\"/<>&\x7f\""},
	} {
		got := AppendString([]byte("x"), c.text)
		if string(got) != "x"+c.want {
			t.Errorf("AppendString(%q) = %s, want %s", c.text, got[1:], c.want)
		}
		if back, ok := Unquote(got[1:]); !ok || back != c.text {
			t.Errorf("%q came back as %q", c.text, back)
		}
		if canonical, err := Canonical(got[1:], true); err != nil || string(canonical) != c.want {
			t.Errorf("Canonical(%s) = %s, %v", got[1:], canonical, err)
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"x"`: "x", `""`: "", `"\""`: `"`, `"a\\b"`: `a\b`, `"\n\u0001"`: "\n\x01", `"😀"`: "😀",
	} {
		if got, ok := Unquote([]byte(value)); !ok || got != want {
			t.Errorf("%s: %q, %v", value, got, ok)
		}
	}
	for _, value := range []string{``, `"`, `1`, `null`, `true`, `{}`, `["x"]`} {
		if got, ok := Unquote([]byte(value)); ok {
			t.Errorf("%s is the text %q", value, got)
		}
	}
}
