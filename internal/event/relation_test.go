package event

import (
	"strings"
	"testing"
)

func TestMalformedRelationIsNone(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]Relation{
		`{"m.relates_to":{"event_id":"$a","rel_type":"m.thread"}}`:               {RelThread, "$a"},
		`{"m.relates_to":{"event_id":"$a","key":"x","rel_type":"m.annotation"}}`: {"m.annotation", "$a"},
		`{"m.relates_to":{"event_id":"$\\u0061\"","rel_type":"x"}}`:              {"x", `$\u0061"`},
		`{}`: {},
		`{"m.relates_to":{"rel_type":"m.thread"}}`:                                                {},
		`{"m.relates_to":{"event_id":"$a"}}`:                                                      {},
		`{"m.relates_to":{"event_id":"","rel_type":"m.thread"}}`:                                  {},
		`{"m.relates_to":{"event_id":"$a","rel_type":""}}`:                                        {},
		`{"m.relates_to":{"event_id":7,"rel_type":"m.thread"}}`:                                   {},
		`{"m.relates_to":{"event_id":"$a","rel_type":null}}`:                                      {},
		`{"m.relates_to":{"Event_id":"$a","rel_type":"m.thread"}}`:                                {},
		`{"m.relates_to":{"REL_TYPE":"m.thread","event_id":"$a"}}`:                                {},
		`{"M.RELATES_TO":{"event_id":"$a","rel_type":"m.thread"}}`:                                {},
		`{"m.relates_to":{"m.in_reply_to":{"event_id":"$a","rel_type":"m.thread"}}}`:              {},
		`{"m.relates_to":"m.thread"}`:                                                             {},
		`{"m.relates_to":{"event_id":"$a","rel_type":"x\u0000"}}`:                                 {},
		`{"m.relates_to":{"event_id":"$` + strings.Repeat("a", 255) + `","rel_type":"m.thread"}}`: {},
		`{"m.relates_to":[{"event_id":"$a","rel_type":"m.thread"}]}`:                              {},
	} {
		if got := RelationOf([]byte(content)); got != want {
			t.Errorf("%s: %+v, want %+v", content, got, want)
		}
	}
}
