package event

import (
	"strings"
	"testing"
)

func TestSpaceChild(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]struct {
		SpaceChild
		ok bool
	}{
		`{"via":["a.example"]}`:                                           {ok: true},
		`{"order":"01","suggested":true,"via":["a.example","b"]}`:         {SpaceChild{"01", true}, true},
		`{"order":" ~","suggested":"true","via":["a.example"]}`:           {SpaceChild{Order: " ~"}, true},
		`{"order":"é","suggested":1,"via":["a.example"]}`:                 {ok: true},
		`{"order":"a\tb","via":["a.example"]}`:                            {ok: true},
		`{"order":"","via":["a.example"]}`:                                {ok: true},
		`{"order":7,"via":["a.example"]}`:                                 {ok: true},
		`{"order":"` + strings.Repeat("x", 51) + `","via":["a.example"]}`: {ok: true},
		`{"order":"` + strings.Repeat("x", 50) + `","via":["a.example"]}`: {SpaceChild{Order: strings.Repeat("x", 50)}, true},
		`{}`:                        {},
		`{"suggested":true}`:        {},
		`{"via":[]}`:                {},
		`{"via":null}`:              {},
		`{"via":"a.example"}`:       {},
		`{"via":{"0":"a.example"}}`: {},
		`{"via":["a.example",1]}`:   {},
		`{"via":[null]}`:            {},
	} {
		got, ok := (&Event{Content: []byte(content)}).SpaceChild()
		if got != want.SpaceChild || ok != want.ok {
			t.Errorf("%s: got %+v, %v", content, got, ok)
		}
	}
}

func TestJoinRulesOfVersions(t *testing.T) {
	t.Parallel()
	for rule, since := range map[string]int{
		"public": 1, "invite": 1, "knock": 7, "restricted": 8, "knock_restricted": 10, "private": 99, "": 99, "org.example": 99,
	} {
		for i, v := range versions {
			if got := v.KnowsJoinRule(rule); got != (i+1 >= since) {
				t.Errorf("version %s knows the join rule %q: %v", v.ID, rule, got)
			}
		}
	}
}
