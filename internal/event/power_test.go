package event

import (
	"fmt"
	"testing"

	"homeserver/internal/matrix"
)

func TestPowerLevelDefaults(t *testing.T) {
	t.Parallel()
	parsed, err := parsePowerLevels(mustVersion(t, "11"), []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*PowerLevels{"no event": nil, "empty event": parsed} {
		for _, c := range []struct {
			what      string
			got, want Power
		}{
			{"user", p.User(alice), 0},
			{"message", p.Event("m.room.message", false), 0},
			{"state", p.Event("m.room.name", true), 50},
			{"ban", p.Ban(), 50},
			{"kick", p.Kick(), 50},
			{"redact", p.Redact(), 50},
			{"invite", p.Invite(), 0},
			{"@room", p.Notification("room"), 50},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s needs %s, want %s", name, c.what, c.got, c.want)
			}
		}
	}
}

func TestPowerLevelsSpeltOut(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		p, err := parsePowerLevels(v, []byte(`{"ban":1,"events":{"m.room.name":2,"q\"":20},"events_default":3,"invite":4,"kick":5,`+
			`"notifications":{"room":6},"redact":7,"state_default":8,"users":{"@u:d":9},"users_default":-10}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what      string
			got, want Power
		}{
			{"ban", p.Ban(), 1},
			{"state event by name", p.Event("m.room.name", true), 2},
			{"message by name", p.Event("m.room.name", false), 2},
			{"type with an escape", p.Event(`q"`, false), 20},
			{"message", p.Event("m.room.message", false), 3},
			{"invite", p.Invite(), 4},
			{"kick", p.Kick(), 5},
			{"@room", p.Notification("room"), 6},
			{"other notification", p.Notification("other"), 50},
			{"redact", p.Redact(), 7},
			{"state", p.Event("m.room.topic", true), 8},
			{"user by name", p.User("@u:d"), 9},
			{"other user", p.User("@x:d"), -10},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
			}
		}
	})
}

// "Event format" of versions 1, 6, 9 and 10 says which values are levels.
func TestPowerLevelForms(t *testing.T) {
	t.Parallel()
	cases := []struct {
		value, versions string // the versions that accept it
		want            Power
	}{
		{`0`, "1-12", 0},
		{`50`, "1-12", 50},
		{`-5`, "1-12", -5},
		{`9007199254740991`, "1-12", 9007199254740991},

		{`"100"`, "1-9", 100},
		{`"000100"`, "1-9", 100},
		{`"+100"`, "1-9", 100},
		{`"-100"`, "1-9", -100},
		{`" 100 "`, "1-9", 100},
		{`" +100 "`, "1-9", 100},
		{`"\t -00100\n"`, "1-9", -100},

		{`50.57`, "1-5", 50},
		{`-50.57`, "1-5", -50},
		{`5.114698E4`, "1-5", 51146},
		{`5e-1`, "1-5", 0},
		{`1e300`, "1-5", maxPower},
		{`-1e300`, "1-5", minPower},

		{`""`, "", 0},
		{`" "`, "", 0},
		{`"+"`, "", 0},
		{`"+-1"`, "", 0},
		{`"--1"`, "", 0},
		{`"- 1"`, "", 0},
		{`"1 0"`, "", 0},
		{`"1.0"`, "", 0},
		{`"1e2"`, "", 0},
		{`"0x10"`, "", 0},
		{`"1_000"`, "", 0},
		{`"ten"`, "", 0},
		{`"١"`, "", 0},
		{`1e400`, "", 0},
		{`null`, "", 0},
		{`true`, "", 0},
		{`[]`, "", 0},
		{`[50]`, "", 0},
		{`{}`, "", 0},
	}
	for _, c := range cases {
		takes := map[string]bool{}
		if c.versions != "" {
			for _, id := range versionSpan(t, c.versions) {
				takes[id] = true
			}
		}
		for _, id := range Versions() {
			v := mustVersion(t, id)
			for _, place := range []string{
				`{"ban":%s}`, `{"events_default":%s}`, `{"users":{"@u:d":%s}}`, `{"events":{"x":%s}}`, `{"notifications":{"x":%s}}`,
			} {
				content := fmt.Sprintf(place, c.value)
				p, err := parsePowerLevels(v, []byte(content))
				if !takes[id] && !v.NotificationLevels && place == `{"notifications":{"x":%s}}` {
					if err != nil || p.Notification("x") != 50 {
						t.Errorf("version %s: %s: notifications count before version 6: %v", id, content, err)
					}
					continue
				}
				if (err == nil) != takes[id] {
					t.Errorf("version %s: for %s the error is %v", id, content, err)
				}
				if err != nil && !matrix.IsCode(err, matrix.Forbidden) {
					t.Errorf("version %s: for %s the error is %v, want M_FORBIDDEN", id, content, err)
				}
			}
			if level, ok := parsePower(v, []byte(c.value)); takes[id] && (!ok || level != c.want) {
				t.Errorf("version %s: %s is %s, %v; want %s", id, c.value, level, ok, c.want)
			}
		}
	}
}

// Versions 1 to 5 have integers without bounds.
func TestPowerLevelsOutOfRange(t *testing.T) {
	t.Parallel()
	v := mustVersion(t, "1")
	for value, want := range map[string]Power{
		`9223372036854775807`: maxPower, `99999999999999999999999999`: maxPower, `"99999999999999999999"`: maxPower,
		`-9223372036854775808`: minPower, `-99999999999999999999999999`: minPower,
	} {
		if got, ok := parsePower(v, []byte(value)); !ok || got != want || got >= Infinite {
			t.Errorf("%s is %s, %v", value, got, ok)
		}
	}
}

func TestPowerLevelsOfTheWrongKind(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		for _, content := range []string{
			`{"users":[]}`, `{"users":null}`, `{"users":"x"}`, `{"events":[]}`, `{"events":null}`, `{"events":1}`,
			`{"users":{"alice":1}}`, `{"users":{"@alice":1}}`, `{"users":{"":1}}`, `{"users":{"@a:b c":1}}`, `{"users":{"@a:":1}}`,
			`{"users":{"#a:b.c":1}}`,
		} {
			_, err := parsePowerLevels(v, []byte(content))
			if !matrix.IsCode(err, matrix.Forbidden) {
				t.Errorf("for %s the error is %v, want M_FORBIDDEN", content, err)
			}
		}
		if _, err := parsePowerLevels(v, []byte(`{"notifications":[]}`)); (err != nil) != v.NotificationLevels {
			t.Errorf("notifications that are an array: %v", err)
		}
		if _, err := parsePowerLevels(v, []byte(`{"users":{"@Ünï cödé:d.example":1,"@:d":2}}`)); err != nil {
			t.Errorf("historical user IDs are refused: %v", err)
		}
	})
}

func TestUserPower(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		check := func(when, user string, want Power) {
			t.Helper()
			if got := UserPower(v, r.state, user); got != want {
				t.Errorf("%s: %s has %s, want %s", when, user, got, want)
			}
		}
		creatorPower := Power(100)
		if v.PrivilegedCreators {
			creatorPower = Infinite
		}
		check("with power levels", creator, creatorPower)
		check("with power levels", admin, 100)
		check("with power levels", mod, 50)
		check("with power levels", alice, 0)

		r.put(creator, TypePowerLevels, "", `{"users_default":7}`)
		check("with a default", alice, 7)
		if !v.PrivilegedCreators {
			creatorPower = 7
		}
		check("with a default", creator, creatorPower)

		r.without(StateKey{TypePowerLevels, ""})
		if !v.PrivilegedCreators {
			creatorPower = 100
		}
		check("without power levels", creator, creatorPower)
		check("without power levels", admin, 0)

		r.without(StateKey{TypeCreate, ""})
		check("without anything", creator, 0)
	})
}

// Version 12: additional_creators, which earlier versions do not have. Up to version 10
// content.creator counts, later the sender.
func TestCreators(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newEmptyRoom(t, v, `{"creator":"`+alice+`","additional_creators":["`+mod+`",5]}`)
		if got, want := UserPower(v, r.state, alice), Power(100); (got == want) == v.SenderIsCreator {
			t.Errorf("content.creator has %s", got)
		}
		if got, want := UserPower(v, r.state, creator), Power(0); (got > want) != v.SenderIsCreator {
			t.Errorf("the sender has %s", got)
		}
		if got := UserPower(v, r.state, mod); (got == Infinite) != v.PrivilegedCreators {
			t.Errorf("an additional creator has %s", got)
		}
	})
}

func TestPowerString(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Power{"50": 50, "-1": -1, "infinite": Infinite} {
		if p.String() != want {
			t.Errorf("%d is shown as %s", int64(p), p)
		}
	}
}
