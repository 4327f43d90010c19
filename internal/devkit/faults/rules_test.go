package faults

import (
	"strconv"
	"testing"

	"homeserver/internal/devkit/filter"
)

func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	var rules Rules
	once := Rule{Filter: filter.Filter{Method: "PUT"}, Times: 1, Effect: Effect{Drop: true}}
	for n := range MaxRules {
		if id, ok := rules.Add(once); !ok || id != strconv.Itoa(n+1) {
			t.Fatalf("fault %d is not taken: %q", n+1, id)
		}
	}
	if _, ok := rules.Add(once); ok || len(rules.List()) != MaxRules {
		t.Errorf("there are %d faults", len(rules.List()))
	}
	// The oldest of those that meet nothing any more makes room.
	for range 2 {
		if rules.Take(&filter.Request{Method: "PUT"}) == nil {
			t.Fatal("no fault is met")
		}
	}
	if _, ok := rules.Add(once); !ok {
		t.Error("there is no room where a fault is used up")
	}
	if list := rules.List(); len(list) != MaxRules || list[0].ID != "2" || list[MaxRules-1].ID != strconv.Itoa(MaxRules+1) {
		t.Errorf("there are %d faults, %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
	if !rules.Remove("3") {
		t.Error("there is no fault 3")
	}
	if _, ok := rules.Add(once); !ok {
		t.Error("there is no room where one was taken back")
	}
}
