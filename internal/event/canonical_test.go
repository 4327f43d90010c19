package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// The examples of the appendices, "Canonical JSON".
var canonicalVectors = []struct{ in, want string }{
	{`{}`, `{}`},
	{"{\n    \"one\": 1,\n    \"two\": \"Two\"\n}", `{"one":1,"two":"Two"}`},
	{"{\n    \"b\": \"2\",\n    \"a\": \"1\"\n}", `{"a":"1","b":"2"}`},
	{`{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`},
	{
		`{
    "auth": {
        "success": true,
        "mxid": "@john.doe:example.com",
        "profile": {
            "display_name": "John Doe",
            "three_pids": [
                {
                    "medium": "email",
                    "address": "john.doe@example.org"
                },
                {
                    "medium": "msisdn",
                    "address": "123456789"
                }
            ]
        }
    }
}`,
		`{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[` +
			`{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}`,
	},
	{`{ "a": "日本語" }`, `{"a":"日本語"}`},
	{`{ "本": 2, "日": 1 }`, `{"日":1,"本":2}`},
	{`{ "a": "\u65E5" }`, `{"a":"日"}`},
	{`{ "a": null }`, `{"a":null}`},
	{`{ "a": -0, "b": 1e10 }`, `{"a":0,"b":10000000000}`},
}

func TestCanonicalVectors(t *testing.T) {
	t.Parallel()
	for _, c := range canonicalVectors {
		for _, strict := range []bool{false, true} {
			got, err := Canonical([]byte(c.in), strict)
			if err != nil || string(got) != c.want {
				t.Errorf("Canonical(%s, %v) = %s, %v; want %s", c.in, strict, got, err, c.want)
			}
		}
	}
}

func TestCanonicalForm(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, in, want string }{
		{"string", ` "x" `, `"x"`},
		{"number", `12`, `12`},
		{"true", "\ttrue\r\n", `true`},
		{"false", `false`, `false`},
		{"null", `null`, `null`},
		{"empty array", `[ ]`, `[]`},
		{"empty object", `{ }`, `{}`},
		{"nested empties", `[ [ ] , { } ]`, `[[],{}]`},
		{"array keeps its order", `[3, 1, 2]`, `[3,1,2]`},
		{"space everywhere", "{ \"a\" :\n[ 1 ,\t2 ] , \"b\" : { } }", `{"a":[1,2],"b":{}}`},
		{"objects inside objects are sorted", `{"z":{"b":1,"a":{"d":1,"c":2}},"y":[{"b":1,"a":2}]}`, `{"y":[{"a":2,"b":1}],"z":{"a":{"c":2,"d":1},"b":1}}`},
		{"a prefix comes first", `{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		{"upper case before lower case", `{"a":1,"B":2}`, `{"B":2,"a":1}`},
		{"code points, not UTF-16", `{"😀":1,"＀":2}`, `{"＀":2,"😀":1}`},
		{"keys are sorted as what their escapes mean", `{"\u0062":1,"a":2}`, `{"a":2,"b":1}`},
		{"a quote sorts before a letter", `{"a":1,"\"":2}`, `{"\"":2,"a":1}`},
		{"a control character sorts before a space", `{" ":1,"\n":2,"\u0001":3}`, `{"\u0001":3,"\n":2," ":1}`},
		{"a backslash sorts after Z and before a", `{"a":1,"\\":2,"Z":3}`, `{"Z":3,"\\":2,"a":1}`},
		{"solidus", `"\/"`, `"/"`},
		{"short escapes stay", `"\"\\\b\f\n\r\t"`, `"\"\\\b\f\n\r\t"`},
		{"long escapes become short", `"\u0022\u005c\u0008\u000c\u000a\u000d\u0009"`, `"\"\\\b\f\n\r\t"`},
		{"control characters", `"\u0000\u001f\u0007"`, `"\u0000\u001f\u0007"`},
		{"hexadecimal digits are lower case", `"\u001F\u000B"`, `"\u001f\u000b"`},
		{"delete stays", "\"\x7f\"", "\"\x7f\""},
		{"escaped delete", `"\u007f"`, "\"\x7f\""},
		{"escaped letter", `"\u0041"`, `"A"`},
		{"two bytes", `"\u00e9"`, `"é"`},
		{"surrogate pair", `"\ud83d\ude00"`, `"😀"`},
		{"upper case surrogate pair", `"x\uD83D\uDE00y"`, `"x😀y"`},
		{"replacement character", `"\ufffd�"`, `"��"`},
		{"noncharacter", `"\uffff"`, "\"\uffff\""},
		{"line separators stay", "\"\u2028\u2029\"", "\"\u2028\u2029\""},
		{"greatest integer", `9007199254740991`, `9007199254740991`},
		{"least integer", `-9007199254740991`, `-9007199254740991`},
		{"zero", `0`, `0`},
		{"minus zero", `-0`, `0`},
		{"exponents", `[1e0,1E1,1e+2,12e3,-1e2,0e99,-0e1,9e15]`, `[1,10,100,12000,-100,0,0,9000000000000000]`},
		{"exponent that has zeros in front", `1e0002`, `100`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, strict := range []bool{false, true} {
				got, err := Canonical([]byte(c.in), strict)
				if err != nil || string(got) != c.want {
					t.Errorf("Canonical(%s, %v) = %s, %v; want %s", c.in, strict, got, err, c.want)
				}
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, in string
		code     matrix.Code
	}{
		{"nothing", ``, matrix.NotJSON},
		{"only space", "  \n", matrix.NotJSON},
		{"two values", `{} {}`, matrix.NotJSON},
		{"comma at the end", `{"a":1,}`, matrix.NotJSON},
		{"comma at the end of an array", `[1,]`, matrix.NotJSON},
		{"comma at the start", `[,1]`, matrix.NotJSON},
		{"no comma", `[1 2]`, matrix.NotJSON},
		{"no comma between members", `{"a":1 "b":2}`, matrix.NotJSON},
		{"no colon", `{"a" 1}`, matrix.NotJSON},
		{"no value", `{"a":}`, matrix.NotJSON},
		{"no key", `{1:2}`, matrix.NotJSON},
		{"key without quotes", `{a:1}`, matrix.NotJSON},
		{"single quotes", `{'a':1}`, matrix.NotJSON},
		{"open object", `{"a":1`, matrix.NotJSON},
		{"open object after comma", `{"a":1,`, matrix.NotJSON},
		{"open array", `[1`, matrix.NotJSON},
		{"open string", `"abc`, matrix.NotJSON},
		{"open escape", `"abc\`, matrix.NotJSON},
		{"open unicode escape", `"\u12`, matrix.NotJSON},
		{"wrong bracket", `[1}`, matrix.NotJSON},
		{"wrong brace", `{"a":1]`, matrix.NotJSON},
		{"cut literal", `tru`, matrix.NotJSON},
		{"wrong literal", `nul1`, matrix.NotJSON},
		{"literal in upper case", `True`, matrix.NotJSON},
		{"literal and more", `truefalse`, matrix.NotJSON},
		{"NaN", `NaN`, matrix.NotJSON},
		{"Infinity", `Infinity`, matrix.NotJSON},
		{"minus Infinity", `-Infinity`, matrix.NotJSON},
		{"comment", `{/**/}`, matrix.NotJSON},
		{"zero in front", `01`, matrix.NotJSON},
		{"zero in front, negative", `-01`, matrix.NotJSON},
		{"plus", `+1`, matrix.NotJSON},
		{"minus alone", `-`, matrix.NotJSON},
		{"point without digits", `1.`, matrix.NotJSON},
		{"point in front", `.5`, matrix.NotJSON},
		{"exponent without digits", `1e`, matrix.NotJSON},
		{"exponent with a sign only", `1e+`, matrix.NotJSON},
		{"hexadecimal", `0x10`, matrix.NotJSON},
		{"unknown escape", `"\x41"`, matrix.NotJSON},
		{"bad hexadecimal digits", `"\u00g0"`, matrix.NotJSON},
		{"raw line feed", "\"a\nb\"", matrix.NotJSON},
		{"raw NUL", "\"a\x00b\"", matrix.NotJSON},
		{"NUL between values", "[1,\x002]", matrix.NotJSON},
		{"byte order mark", "\ufeff{}", matrix.NotJSON},
		{"form feed as space", "{\f}", matrix.NotJSON},
		{"lone byte of UTF-8", "\"\xe6\"", matrix.NotJSON},
		{"overlong UTF-8", "\"\xc0\xaf\"", matrix.NotJSON},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", matrix.NotJSON},
		{"beyond Unicode", "\"\xf4\x90\x80\x80\"", matrix.NotJSON},
		{"bad UTF-8 in a key", "{\"\xff\":1}", matrix.NotJSON},
		{"lone high surrogate", `"\ud83d"`, matrix.BadJSON},
		{"lone low surrogate", `"\ude00"`, matrix.BadJSON},
		{"high surrogate and letter", `"\ud83dx"`, matrix.BadJSON},
		{"high surrogate and other escape", `"\ud83d\n"`, matrix.BadJSON},
		{"two high surrogates", `"\ud83d\ud83d"`, matrix.BadJSON},
		{"pair the wrong way round", `"\ude00\ud83d"`, matrix.BadJSON},
		{"lone surrogate in a key", `{"\ud83d":1}`, matrix.BadJSON},
		{"duplicate key", `{"a":1,"a":1}`, matrix.BadJSON},
		{"duplicate key, far apart", `{"a":1,"c":2,"b":3,"a":4}`, matrix.BadJSON},
		{"duplicate key, escaped", `{"a":1,"\u0061":2}`, matrix.BadJSON},
		{"duplicate key, both escaped", `{"\n":1,"\u000a":2}`, matrix.BadJSON},
		{"duplicate empty key", `{"":1,"":2}`, matrix.BadJSON},
		{"duplicate key inside", `[{"x":{"a":1,"a":1}}]`, matrix.BadJSON},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, strict := range []bool{false, true} {
				_, err := Canonical([]byte(c.in), strict)
				wantError(t, err, c.code, "the JSON")
			}
		})
	}
}

// Room versions 1 to 5 do not enforce the rules for numbers.
func TestCanonicalNumbers(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`1.5`, `1e-1`, `105e-1`, `1.55e1`, `0.01e1`, `9007199254740992`, `-9007199254740992`, `1e16`, `1E308`, `9007199254740992.0`,
		`123456789012345678901234567890`, `99999999999999999`, `9007199254740991e1`,
		`1e-9223372036854775808`, `1.0e-9999999999999999999`,
	} {
		document := `{"n":` + in + `}`
		_, err := Canonical([]byte(document), true)
		wantError(t, err, matrix.BadJSON, "only integers within")
		got, err := Canonical([]byte(document), false)
		if err != nil || string(got) != document {
			t.Errorf("Canonical(%s, false) = %s, %v; want it as it is", document, got, err)
		}
	}
}

// A number that many JSON libraries fail to read, and with it the whole answer that it is
// in, was taken from one user and sent to others.
func TestCanonicalRefusesNumbersThatClientsFailToRead(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`1E400`, `-1e309`, `1.8e308`, `1e9999999999999999999`, `1e9223372036854775807`, strings.Repeat("9", 400), strings.Repeat("9", 400) + ".5",
	} {
		document := []byte(`{"n":` + in + `}`)
		_, err := Canonical(document, false)
		wantError(t, err, matrix.BadJSON, "too large")
		_, err = CanonicalOfAnySize(document)
		wantError(t, err, matrix.BadJSON, "too large")
	}
}

func TestAnIntegerIsOneHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`1.0`: `1`, `1e3`: `1000`, `1E+3`: `1000`, `1000.0`: `1000`, `1.5e3`: `1500`, `10e-1`: `1`, `-0.0`: `0`, `-0`: `0`, `0e-5`: `0`,
		`0.001e3`: `1`, `-2.50e1`: `-25`, `100.00e-2`: `1`, `9007199254740991.000`: `9007199254740991`, `0.0e9999999999999999999`: `0`,
		`1` + strings.Repeat("0", 40) + `e-40`: `1`,
	} {
		for _, strict := range []bool{false, true} {
			got, err := Canonical([]byte(`{"n":`+in+`}`), strict)
			if err != nil || string(got) != `{"n":`+want+`}` {
				t.Errorf("Canonical of %s, strict %v: %s, %v; want %s", in, strict, got, err, want)
			}
		}
	}
}

func TestCanonicalNesting(t *testing.T) {
	t.Parallel()
	nest := func(open, inner, shut string, depth int) []byte {
		return []byte(strings.Repeat(open, depth) + inner + strings.Repeat(shut, depth))
	}
	for _, c := range []struct {
		name string
		in   []byte
		code matrix.Code
	}{
		{"as deep as can be", nest("[", "", "]", maxNesting), ""},
		{"one too deep", nest("[", "", "]", maxNesting+1), matrix.BadJSON},
		{"objects as deep as can be", nest(`{"a":`, "1", "}", maxNesting), ""},
		{"objects one too deep", nest(`{"a":`, "1", "}", maxNesting+1), matrix.BadJSON},
		{"very deep", bytes.Repeat([]byte("["), 1<<20), matrix.BadJSON},
		{"depth goes down again", []byte("[" + strings.Repeat(`[[]],`, 500) + "[]]"), ""},
	} {
		_, err := Canonical(c.in, true)
		t.Run(c.name, func(t *testing.T) { wantError(t, err, c.code, "nested deeper") })
	}
}

func TestCanonicalSize(t *testing.T) {
	t.Parallel()
	fits := []byte(`"` + strings.Repeat("x", MaxBytes-2) + `"`)
	if _, err := Canonical(fits, true); err != nil {
		t.Errorf("%d bytes are refused: %v", len(fits), err)
	}
	if _, err := Canonical(append(bytes.Repeat([]byte(" "), 1000), fits...), true); err != nil {
		t.Errorf("space counts as size: %v", err)
	}
	_, err := Canonical([]byte(`"`+strings.Repeat("x", MaxBytes-1)+`"`), true)
	wantError(t, err, matrix.TooLarge, "65537 bytes")
}

// It counts allocations, so it must not run beside others.
func TestCanonicalReturnsCanonicalInput(t *testing.T) {
	in := []byte(`{"a":[1,2,{"b":"ü\n"}],"c":{"d":null}}`)
	got, err := Canonical(in, true)
	if err != nil || &got[0] != &in[0] {
		t.Fatalf("Canonical copied its input, or failed: %v", err)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		if _, err := Canonical(in, true); err != nil {
			t.Error(err)
		}
	}); allocs > 1 {
		t.Errorf("canonical input takes %v allocations", allocs)
	}
}

func TestCanonicalDoesNotWriteToItsInput(t *testing.T) {
	t.Parallel()
	in := []byte(`{"b":"\u0041","a":[1e2, 2],"c":{"z":1,"y":2}}`)
	before := bytes.Clone(in)
	if _, err := Canonical(in, true); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in, before) {
		t.Errorf("the input became %s", in)
	}
}

func TestCanonicalManyMembers(t *testing.T) {
	t.Parallel()
	const n = 2000
	order := rand.New(rand.NewPCG(1, 2)).Perm(n)
	var in, want []string
	for i := range n {
		want = append(want, fmt.Sprintf(`"k%06d":%d`, i, i))
	}
	for _, i := range order {
		in = append(in, want[i])
	}
	got, err := Canonical([]byte("{"+strings.Join(in, ",")+"}"), true)
	if err != nil || string(got) != "{"+strings.Join(want, ",")+"}" {
		t.Errorf("members are not sorted: %v", err)
	}
}

// randomJSON returns a document in a random spelling, and its value as the standard
// library reads it.
func randomJSON(r *rand.Rand, depth int) any {
	letters := []rune("abz/\"\\\n\x01é日😀 ")
	word := func() string {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	switch kind := r.IntN(7); {
	case kind == 0 && depth > 0:
		object := map[string]any{}
		for range r.IntN(6) {
			object[word()] = randomJSON(r, depth-1)
		}
		return object
	case kind == 1 && depth > 0:
		array := []any{}
		for range r.IntN(5) {
			array = append(array, randomJSON(r, depth-1))
		}
		return array
	case kind == 2:
		return float64(r.Int64N(1<<54) - 1<<53 + 1)
	case kind == 3:
		return r.IntN(2) == 0
	case kind == 4:
		return nil
	}
	return word()
}

// The standard library sorts keys as well, so that it writes the canonical form of a
// document, but for its own escapes.
func TestCanonicalAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	for range 3000 {
		document := map[string]any{"x": randomJSON(r, 4)}
		indented, err := json.MarshalIndent(document, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := Canonical(indented, true)
		if err != nil {
			if matrix.IsCode(err, matrix.BadJSON) {
				continue // a number that the library writes with an exponent and a point
			}
			t.Fatalf("Canonical(%s): %v", indented, err)
		}
		var back map[string]any
		if err := json.Unmarshal(canonical, &back); err != nil {
			t.Fatalf("%s is not JSON: %v", canonical, err)
		}
		var again bytes.Buffer
		encoder := json.NewEncoder(&again)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(back); err != nil {
			t.Fatal(err)
		}
		fromLibrary, err := Canonical(again.Bytes(), true)
		if err != nil || !bytes.Equal(fromLibrary, canonical) {
			t.Fatalf("%s became %s, then %s, %v", indented, canonical, fromLibrary, err)
		}
		twice, err := Canonical(canonical, true)
		if err != nil || !bytes.Equal(twice, canonical) {
			t.Fatalf("not idempotent: %s became %s, %v", canonical, twice, err)
		}
	}
}
