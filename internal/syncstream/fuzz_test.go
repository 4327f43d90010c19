package syncstream

import (
	"encoding/json"
	"errors"
	"testing"

	"homeserver/internal/matrix"
)

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{"s0", "s1", "s9223372036854775807", "s-1", "s01", "t1", "", "s", "s+1", "s1_2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p, err := ParseToken(token)
		switch {
		case err != nil:
			wantClientError(t, err)
		case FormatToken(p) != token || p < 0:
			t.Errorf("%q is taken for position %d, whose token is %q", token, p, FormatToken(p))
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"room":{"timeline":{"limit":1,"types":["m.*"]},"state":{"lazy_load_members":true}}}`,
		`{"event_fields":["content.body","a\\.b.c"],"event_format":"federation"}`,
		`{"presence":{"not_types":["*"]},"account_data":{"limit":3}}`, `{"room":null}`, `[]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, definition []byte) {
		parsed, err := parseFilter(definition)
		if err != nil {
			wantClientError(t, err)
			return
		}
		if !json.Valid(definition) {
			t.Errorf("%q is taken for a filter", definition)
		}
		parsed.wants("!room:localhost")
		if parsed.fields != nil {
			cut, _ := parsed.fields.appendObject(nil, []byte(`{"content":{"body":"x","a.b":{"c":1}},"type":"t"}`))
			if !json.Valid(cut) {
				t.Errorf("%q cuts an event down to %s", definition, cut)
			}
		}
	})
}

func FuzzParseEventFilter(f *testing.F) {
	for _, seed := range []string{`{}`, `{"limit":1,"types":["m.*"],"rooms":[]}`, `{"limit":-1}`, `{"senders":["\u0000"]}`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, definition string) {
		parsed, err := parseEventFilter([]byte(definition))
		switch {
		case err != nil:
			wantClientError(t, err)
		case parsed.LimitOr(10) < 0 || parsed.LimitOr(10) > 1000:
			t.Errorf("the limit is %d", parsed.LimitOr(10))
		}
	})
}

func wantClientError(t *testing.T, err error) {
	t.Helper()
	var e *matrix.Error
	if !errors.As(err, &e) {
		t.Errorf("the error is not for clients: %v", err)
	}
}
