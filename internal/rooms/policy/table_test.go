package policy

import (
	"fmt"
	"runtime"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

func put(t *table, key string, from int64, entity string) *Rule {
	at := place{"!list:localhost", event.StateKey{Type: "m.policy.rule.user", Key: key}}
	r := newRule(at, timeline.Place(from), "$"+key+fmt.Sprint(from), fmt.Appendf(nil, `{"entity":%q,"recommendation":"m.ban"}`, entity))
	t.put(at, timeline.Place(from), r)
	return r
}

func TestOlderRulesDoNotReplaceNewerOnes(t *testing.T) {
	t.Parallel()
	rules := newTable("localhost")
	put(rules, "a", 2, "@new:x")
	put(rules, "a", 1, "@old:x")
	if rules.ofUser("@new:x") == nil || rules.ofUser("@old:x") != nil {
		t.Error("an older rule counts")
	}
	put(rules, "a", 3, "")
	if rules.ofUser("@new:x") != nil || rules.applied != 0 || len(rules.byPlace)+len(rules.byEvent) != 0 {
		t.Errorf("a rule that is gone is left: %+v", rules)
	}
}

func TestRulesThatAreTooManyAreLeftOut(t *testing.T) {
	t.Parallel()
	rules := newTable("localhost")
	for i := range maxRules + 2 {
		put(rules, fmt.Sprint(i), 1, fmt.Sprintf("@user%d:x", i))
	}
	if rules.applied != maxRules || rules.leftOut != 2 {
		t.Errorf("%d are applied, %d left out", rules.applied, rules.leftOut)
	}
	put(rules, "0", 2, "@another:x")
	if rules.applied != maxRules || rules.ofUser("@another:x") == nil {
		t.Error("a rule cannot be replaced any more")
	}
}

// The rules of all lists have a bound in bytes.
func TestRulesTakeNoMoreMemoryThanIsSaid(t *testing.T) {
	matrixtest.Long(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rules := newTable("localhost")
	const n = 20_000
	for i := range n {
		at := place{"!list:localhost", event.StateKey{Type: "m.policy.rule.user", Key: fmt.Sprintf("rule:@somebody%06d:example.org", i)}}
		id := fmt.Sprintf("$%043d", i)
		rules.put(at, 1, newRule(at, 1, id, fmt.Appendf(nil, `{"entity":"@somebody%06d:example.org","recommendation":"m.ban"}`, i)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / n; each > 600 {
		t.Errorf("a rule takes %d bytes", each)
	}
	runtime.KeepAlive(rules)
}
