package event

import (
	"testing"
)

func TestUpgradePowerLevels(t *testing.T) {
	t.Parallel()
	const alice, bob, carol = "@alice:a.example", "@bob:a.example", "@carol:a.example"
	for _, test := range []struct {
		name, from, to string
		additional     string // creators of the old room beside alice
		levels, want   string
	}{
		{
			"the same version", "11", "11", "", `{"ban":60,"events":{"m.a":1},"notifications":{"room":5},"users":{"` + bob + `":100},"users_default":1}`,
			`{"ban":60,"events":{"m.a":1},"notifications":{"room":5},"users":{"` + bob + `":100},"users_default":1}`,
		},
		{
			"text and fractions", "5", "11", "", `{"ban":"60","kick":2.9,"events":{"m.a":" 7 "},"users":{"` + bob + `":9007199254740993},"users_default":-1e30}`,
			`{"ban":60,"events":{"m.a":7},"kick":2,"users":{"` + bob + `":9007199254740991},"users_default":-9007199254740991}`,
		},
		{
			"creators are not named", "11", "12", "", `{"users":{"` + alice + `":100,"` + bob + `":100,"` + carol + `":50},"events":{"m.room.tombstone":100}}`,
			`{"events":{"m.room.tombstone":150},"users":{"` + bob + `":100}}`,
		},
		{
			"more is needed for an upgrade than for state", "11", "12", "", `{"state_default":200}`,
			`{"events":{"m.room.tombstone":201},"state_default":200,"users":{}}`,
		},
		{
			"an owner's choice stays", "12", "12", "", `{"events":{"m.room.tombstone":51}}`, `{"events":{"m.room.tombstone":51},"users":{}}`,
		},
		{
			"unless it is none", "12", "12", "", `{"events":{"m.room.tombstone":50}}`, `{"events":{"m.room.tombstone":150},"users":{}}`,
		},
		{
			"creators get power again", "12", "11", `,"additional_creators":["` + bob + `"]`, `{"events":{"m.room.tombstone":150},"users":{"` + carol + `":160}}`,
			`{"events":{"m.room.tombstone":150},"users":{"` + alice + `":160,"` + bob + `":160,"` + carol + `":160}}`,
		},
		{
			"at least as much as in a new room", "12", "10", "", `{"ban":0}`, `{"ban":0,"events":{},"users":{"` + alice + `":100}}`,
		},
	} {
		from, to := mustVersion(t, test.from), mustVersion(t, test.to)
		content, err := canonicalObject([]byte(test.levels), anyNumber, 1)
		if err != nil {
			t.Fatal(err)
		}
		levels, err := parsePowerLevels(from, content)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		create := &Event{Type: TypeCreate, Sender: alice, Version: from, Content: []byte(`{"creator":"` + alice + `"` + test.additional + `}`)}
		got, err := UpgradePowerLevels(to, levels, create, []string{alice, carol})
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.name, got, err, test.want)
		}
		if err := CheckPowerLevels(got); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestClosePowerLevels(t *testing.T) {
	t.Parallel()
	for levels, want := range map[string]string{
		`{}`: `{"events_default":50,"invite":50}`,
		`{"events_default":0,"invite":0,"org.example":1,"users_default":70}`: `{"events_default":71,"invite":71,"org.example":1,"users_default":70}`,
		`{"events_default":100,"invite":0}`:                                  `{"events_default":100,"invite":50}`,
		`{"events_default":50,"invite":60}`:                                  ``,
		`{"users_default":9007199254740991}`:                                 `{"events_default":9007199254740991,"invite":9007199254740991,"users_default":9007199254740991}`,
	} {
		parsed, err := parsePowerLevels(mustVersion(t, "11"), []byte(levels))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(ClosePowerLevels([]byte(levels), parsed)); got != want {
			t.Errorf("%s is closed as %s, want %s", levels, got, want)
		}
	}
}
