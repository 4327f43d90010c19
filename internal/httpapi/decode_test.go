package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

type everything struct {
	Text   string          `json:"text"`
	Number int64           `json:"number"`
	Flag   bool            `json:"flag"`
	List   []string        `json:"list"`
	Object *inner          `json:"object"`
	Many   []inner         `json:"many"`
	Map    map[string]int  `json:"map"`
	Raw    json.RawMessage `json:"raw"`
}

type inner struct {
	Name string `json:"name"`
}

// decoding answers with what it understood of the body.
func decoding(r *Request) (any, error) {
	var body everything
	err := r.Decode(&body)
	return body, err
}

func newDecoder(t *testing.T, opts Options) *matrixtest.Client {
	return newBench(t, opts).serve(t, post("/decode", decoding), post("/raw", func(r *Request) (any, error) {
		var raw json.RawMessage
		err := r.Decode(&raw)
		return raw, err
	}))
}

func TestDecode(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{})
	const nothing = `{"text":"","number":0,"flag":false,"list":null,"object":null,"many":null,"map":null,"raw":null}`
	for body, want := range map[string]string{
		``:                                 nothing,
		" \r\n\t":                          nothing,
		`{}`:                               nothing,
		` { } `:                            nothing,
		`{"unknown":[1,{}]}`:               nothing,
		`{"text":null}`:                    nothing,
		`{"Text":"x"}`:                     nothing,
		`{"object":{"NAME":1}}`:            strings.Replace(nothing, `"object":null`, `"object":{"name":""}`, 1),
		`{"text":"a","TEXT":"b"}`:          strings.Replace(nothing, `"text":""`, `"text":"a"`, 1),
		`{"text":"\\u0000"}`:               strings.Replace(nothing, `"text":""`, `"text":"\\u0000"`, 1),
		`{"text":"<&>\u00fc"}`:             strings.Replace(nothing, `"text":""`, `"text":"<&>ü"`, 1),
		`{"number":9223372036854775807}`:   strings.Replace(nothing, `"number":0`, `"number":9223372036854775807`, 1),
		`{"raw":{"a":"\u0000","n":1e400}}`: strings.Replace(nothing, `"raw":null`, `"raw":{"a":"\u0000","n":1e400}`, 1),
	} {
		if got := strings.TrimSpace(string(c.Do("POST", "/decode", body).OK().Body)); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	if got := string(c.Do("POST", "/raw", `{"a" : "\u0000"}`).OK().Body); got != "{\"a\" : \"\\u0000\"}\n" {
		t.Errorf("raw: got %q", got)
	}
}

func TestDecodeStrictlyNamesWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, post("/decode", func(r *Request) (any, error) {
		var body everything
		err := r.DecodeStrictly(&body)
		return body, err
	}))
	c.Do("POST", "/decode", `{"number":1e3,"object":{"name":"a"}}`).OK()
	for body, name := range map[string]string{`{"Text":""}`: `"Text"`, `{"object":{"other":1}}`: `"object.other"`, `{"number":"1","text":1}`: `"number"`} {
		refused := c.Do("POST", "/decode", body)
		refused.Refused(400, "M_BAD_JSON")
		if !strings.Contains(refused.String("error"), name) {
			t.Errorf("%s: %s", body, refused.Body)
		}
	}
}

func TestRawObject(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, post("/", func(r *Request) (any, error) { return r.RawObject() }))
	for body, want := range map[string]string{
		`{}`:          `{}`,
		"\r\n\t { } ": `{}`,
		`{"b":"\u0000\u00fc","a":[1e300,0.5,-0.0]}`: `{"a":[1e300,0.5,0],"b":"\u0000ü"}`,
	} {
		if got := strings.TrimSpace(string(c.Do("POST", "/", body).OK().Body)); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	for body, code := range map[string]string{
		``: "M_NOT_JSON", ` `: "M_NOT_JSON", `{`: "M_NOT_JSON", `{}x`: "M_NOT_JSON", `{}{}`: "M_NOT_JSON", "{\"\xff\":1}": "M_NOT_JSON", `a=b`: "M_NOT_JSON",
		`[]`: "M_BAD_JSON", `null`: "M_BAD_JSON", `"x"`: "M_BAD_JSON", `{"a":1,"\u0061":2}`: "M_BAD_JSON", `{"a":"\ud800"}`: "M_BAD_JSON",
		`{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: "M_BAD_JSON",
	} {
		c.Do("POST", "/", body).Refused(400, code)
	}
	c.Do("POST", "/", `{"a":"`+strings.Repeat("a", 64<<10)+`"}`).Refused(413, "M_TOO_LARGE")
}

func TestAByteOrderMarkInFrontOfJSONIsSkipped(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{})
	if got := c.Do("POST", "/decode", "\ufeff {\"text\":\"a\"}").OK().String("text"); got != "a" {
		t.Errorf("got %q", got)
	}
	c.Do("POST", "/decode", "\ufeff").OK()
}

func TestIntegersOfAnyFormAreTreatedAlike(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{})
	for written, want := range map[string]float64{
		`1`: 1, `1.0`: 1, `1e3`: 1000, `1000.0`: 1000, `1.5e3`: 1500, `10e-1`: 1, `-2.0`: -2, `-0.0`: 0,
	} {
		body := `{"text":"a","number":` + written + `,"map":{"a":` + written + `},"many":[{"name":"b"}]}`
		got := c.Do("POST", "/decode", body).OK()
		if got.At("number") != want || got.At("map", "a") != want || got.String("text") != "a" || got.String("many", 0, "name") != "b" {
			t.Errorf("%s: %s", written, got.Body)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{})
	for _, test := range []struct{ body, code, message string }{
		{`{`, "M_NOT_JSON", "byte 1"},
		{`{"text":"a"} x`, "M_NOT_JSON", "byte 13"},
		{`{"text":"a"}{}`, "M_NOT_JSON", ""},
		{`{'text':1}`, "M_NOT_JSON", ""},
		{`{"text":"a",}`, "M_NOT_JSON", ""},
		{`{"text":NaN}`, "M_NOT_JSON", ""},
		{`text=a&flag=true`, "M_NOT_JSON", ""},
		{"{\"text\":\"\xff\"}", "M_NOT_JSON", ""},
		{"{\"unknown\":\"\xc3\"}", "M_NOT_JSON", ""},
		{`{"text":"\ud800"}`, "M_NOT_JSON", ""},
		{"{\"text\":\"\x00\"}", "M_NOT_JSON", ""},
		{"{\"text\":\"a\"}\ufeff", "M_NOT_JSON", ""},
		{"\ufeff\ufeff{}", "M_NOT_JSON", ""},
		{strings.Repeat(`[`, 100_000), "M_NOT_JSON", ""},
		{`{"unknown":` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000) + `}`, "M_NOT_JSON", ""},
		{`[]`, "M_BAD_JSON", "object"},
		{`"text"`, "M_BAD_JSON", "object"},
		{`null`, "M_BAD_JSON", "object"},
		{`7`, "M_BAD_JSON", "object"},
		{`{"text":1}`, "M_BAD_JSON", `"text" must be a string`},
		{`{"text":{"a":[]}}`, "M_BAD_JSON", `"text" must be a string`},
		{`{"number":"1"}`, "M_BAD_JSON", `"number" must be a whole number`},
		{`{"number":1.5}`, "M_BAD_JSON", `"number"`},
		{`{"number":9223372036854775808}`, "M_BAD_JSON", `"number"`},
		{`{"number":` + strings.Repeat("9", 10_000) + `}`, "M_BAD_JSON", `"number"`},
		{`{"flag":"true"}`, "M_BAD_JSON", `"flag" must be true or false`},
		{`{"list":"a"}`, "M_BAD_JSON", `"list" must be an array`},
		{`{"list":["a",2]}`, "M_BAD_JSON", `"list.1" must be a string`},
		{`{"object":[]}`, "M_BAD_JSON", `"object" must be an object`},
		{`{"object":{"name":false}}`, "M_BAD_JSON", `"object.name" must be a string`},
		{`{"many":[{"name":"a"},{"name":{}}]}`, "M_BAD_JSON", `"many.1.name" must be a string`},
		{`{"text":"a","text":"b"}`, "M_BAD_JSON", `"text" is there twice`},
		{`{"unknown":{"a":1,"a":1}}`, "M_BAD_JSON", `"unknown.a" is there twice`},
		{`{"text":"a\u0000b"}`, "M_BAD_JSON", `"text" must not hold a NUL`},
		{`{"list":["\u0000"]}`, "M_BAD_JSON", `"list.0" must not hold a NUL`},
		{`{"many":[{"name":"\u0000"}]}`, "M_BAD_JSON", `"many.0.name" must not hold a NUL`},
		{`{"map":{"\u0000":1}}`, "M_BAD_JSON", "NUL"},
		{`{"flag":1,"text":"\u0000"}`, "M_BAD_JSON", `"flag" must be true or false`},
		{`{"text":7,"list":["\u0000"]}`, "M_BAD_JSON", `"text" must be a string`},
	} {
		answer := c.Do("POST", "/decode", test.body).Refused(400, test.code)
		if got := answer.String("error"); !strings.Contains(got, test.message) || len(got) > 300 {
			t.Errorf("%.60s: message %q, want one with %q", test.body, got, test.message)
		}
	}
}

func TestDecodeWhateverTheContentType(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{})
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "text/plain; charset=latin1", "nonsense"} {
		request := c.Request("POST", "/decode", `{"text":"a"}`)
		request.Header.Set("Content-Type", contentType)
		answer, err := c.HTTP.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: %d %s", contentType, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
		if err := answer.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"text":"\u0000"}`, `{"many":[{"name":1}]}`, `{"a":1,"a":2}`, `[`, `{"map":{"\u0000":0}}`} {
		f.Add([]byte(seed))
	}
	handler := newBench(f, Options{}).handle(f, post("/decode", decoding))
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/decode", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		if answer := record(handler, request); answer.Code != 200 && answer.Code != 400 {
			t.Errorf("%q: status %d", body, answer.Code)
		}
	})
}
