package syncstream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"homeserver/internal/cache"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

func newTestFilters(share int) *inlineFilters[Filter] {
	return newInlineFilters(share, parseFilter, func(f *Filter) int { return f.fields.weigh() })
}

func TestInlineFilterIsParsedOnce(t *testing.T) {
	t.Parallel()
	parsed := 0
	fs := newInlineFilters(1<<20, func(definition []byte) (*Filter, error) {
		parsed++
		return parseFilter(definition)
	}, func(*Filter) int { return 0 })
	for range 3 {
		for _, text := range []string{`{"room":{"include_leave":true}}`, `{"room": {"include_leave":true}}`, `{"room":{"include_leave":false}}`} {
			f, err := fs.get(text)
			if err != nil || f.Room.IncludeLeave != strings.Contains(text, "true") {
				t.Errorf("%s: got %+v, %v", text, f, err)
			}
		}
	}
	if parsed != 3 {
		t.Errorf("3 texts were parsed %d times", parsed)
	}
	for range 2 {
		if f, err := fs.get(`{"room":1}`); f != nil || err == nil {
			t.Errorf("of a text that is no filter got %+v, %v", f, err)
		}
	}
	if got := fs.parsed.Stats().Entries; parsed != 5 || got != 3 {
		t.Errorf("%d filters are kept, and %d texts were parsed", got, parsed)
	}
}

func TestInlineFiltersTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, definition := range map[string]string{
		"smallest": `{"n":%d}`,
		"types":    `{"n":%d,"room":{"timeline":{"types":[` + strings.Repeat(`"a",`, 15_000) + `"x"]}}}`,
		"fields":   `{"n":%d,"event_fields":["` + strings.Repeat("a.", 30_000) + `"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			fs := newTestFilters(share)
			cachetest.Fill(t, share, fs.parsed.Stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					text := fmt.Sprintf(definition, i)
					f, err := fs.get(text)
					if err != nil {
						t.Fatal(err)
					}
					put += cache.Text(text) + weighDefinition(len(text)) + f.fields.weigh()
				}
			})
		})
	}
}

func TestFiltersWithoutEffectEqualNone(t *testing.T) {
	t.Parallel()
	for _, definition := range []string{
		`{}`, `{"unknown":1}`, `{"room":{}}`, `{"room":{"timeline":{},"state":{"not_types":[]},"not_rooms":[]},"presence":{"unknown":[1]}}`,
		`{"room":{"ephemeral":{"not_senders":[],"lazy_load_members":false},"account_data":{"not_rooms":[]}},"account_data":{}}`,
	} {
		f, err := parseFilter([]byte(definition))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(noFilter, f, cmpopts.EquateEmpty(), cmp.AllowUnexported(Filter{}), cmp.AllowUnexported(timeline.EventFilter{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", definition, diff)
		}
	}
}
