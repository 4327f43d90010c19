package push

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

// notifyOnly are the least actions.
func notifyOnly() []json.RawMessage { return []json.RawMessage{json.RawMessage(`"notify"`)} }

// manyRules makes rules of one kind until they have as many bytes as a user may have, or
// there are as many.
func manyRules(k Kind, next func(i int) Rule) *ownRules {
	own := &ownRules{Predefined: map[string]changedRule{}}
	for i, bytes := 0, 0; i < MaxRules; i++ {
		rule := next(i)
		raw, _ := json.Marshal(rule)
		if bytes += len(raw); bytes > MaxRulesBytes {
			break
		}
		own.Rules[k] = append(own.Rules[k], rule)
	}
	return own
}

func TestRulesTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	override := func(condition string, times int) func(int) Rule {
		return func(i int) Rule {
			r := Rule{ID: fmt.Sprint("r", i), Enabled: true, Actions: notifyOnly()}
			for range times {
				r.Conditions = append(r.Conditions, json.RawMessage(condition))
			}
			return r
		}
	}
	path := strings.Repeat("a.", maxPathNames-1) + "b"
	for name, own := range map[string]func() *ownRules{
		"predefined": func() *ownRules { return &ownRules{Predefined: map[string]changedRule{}} },
		"rooms": func() *ownRules {
			return manyRules(Room, func(i int) Rule {
				return Rule{ID: fmt.Sprintf("!%d:localhost", i), Enabled: true, Actions: notifyOnly()}
			})
		},
		"patterns": func() *ownRules {
			return manyRules(Content, func(i int) Rule {
				pattern := strings.Repeat("*a", maxPatternBytes/2)
				return Rule{ID: fmt.Sprint("p", i), Enabled: true, Actions: notifyOnly(), Pattern: &pattern}
			})
		},
		"tweaks": func() *ownRules {
			return manyRules(Room, func(i int) Rule {
				r := Rule{ID: fmt.Sprint("!", i), Enabled: true, Actions: notifyOnly()}
				for n := range 200 {
					r.Actions = append(r.Actions, json.RawMessage(fmt.Sprintf(`{"set_tweak":"%d"}`, n)))
				}
				return r
			})
		},
		"conditions": func() *ownRules { return manyRules(Override, override(`{"kind":"contains_display_name"}`, 200)) },
		"paths": func() *ownRules {
			return manyRules(Override, override(`{"key":"content.`+path+`","kind":"event_match","pattern":"x"}`, 60))
		},
		"values": func() *ownRules {
			return manyRules(Override, override(`{"key":"content.a","kind":"event_property_is","value":"`+strings.Repeat("x", 4000)+`"}`, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(Options{Shares: Shares{Rules: share}})
			cachetest.Fill(t, share, s.rulesets.Stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					user := fmt.Sprintf("@user%d:localhost", i)
					r := newRuleset(user, own(), 1)
					_, _ = r.json()
					s.rulesets.Place(user).Store(r)
					put += weighRuleset(user, r)
				}
			})
		})
	}
}

func TestWhatRulesAskAboutRoomsTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	v, _ := event.LookupVersion("11")
	build := func(evType, content string) *event.Event {
		key := ""
		e, err := event.Build(v, event.Proto{RoomID: "!room:localhost", Type: evType, Sender: "@alice:localhost", StateKey: &key, Content: []byte(content)}, signer)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = e.PowerLevels()
		return e
	}
	var users []string
	for i := range 2600 {
		users = append(users, fmt.Sprintf(`"@%x:example.org":1`, 4096+i))
	}
	s := newService(Options{Shares: Shares{Rooms: share}})
	cachetest.Fill(t, share, s.contexts.Stats, func() {
		for nid := range journal.RoomNID(200) {
			s.contexts.Place(nid).Store(&RoomContext{
				Create: build(event.TypeCreate, `{"padding":"`+strings.Repeat("x", 60_000)+`"}`),
				Levels: build(event.TypePowerLevels, `{"users":{`+strings.Join(users, ",")+`}}`),
			})
		}
	})
}

func TestNamesTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 8 << 20
	for name, display := range map[string]string{"none": "", "long": strings.Repeat("ä", 256)} {
		t.Run(name, func(t *testing.T) {
			s := newService(Options{Shares: Shares{Names: share}})
			cachetest.Fill(t, share, s.names.Stats, func() {
				for i := range 100_000 {
					name := strings.Clone(display)
					s.names.Place(tallyKey{fmt.Sprint("@user", i), 1}).Store(&name)
				}
			})
			other := newService(Options{Shares: Shares{Budgets: share}})
			cachetest.Fill(t, share, other.budgets.Stats, func() {
				for i := range 100_000 {
					other.budgetOf(fmt.Sprint("@user", i, display[:min(200, len(display))]))
				}
			})
		})
	}
}

func TestTalliesTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, items := range map[string]int{"empty": 0, "few": 3, "many": MaxUnread} {
		t.Run(name, func(t *testing.T) {
			ts := newTallies(share)
			cachetest.Fill(t, share, ts.stats, func() {
				for i := 0; i < 4*share/(100*items+500); i++ {
					var steps []step
					for n := range items {
						st := at(timeline.Place(n+1), notify, "")
						st.event.ID, st.thread = fmt.Sprintf("$%043d", n), fmt.Sprintf("$%043d", n)
						steps = append(steps, st)
					}
					ts.settle(tallyKey{user: fmt.Sprint("@user", i)}, &tally{}, progress{steps: steps, upTo: MaxUnread}, func([]item) {})
				}
			})
		})
	}
}
