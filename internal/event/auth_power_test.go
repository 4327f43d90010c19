package event

import (
	"fmt"
	"testing"

	"homeserver/internal/matrix"
)

// Rules 9.1 to 9.3: the form of m.room.power_levels. The tests of the parser cover which
// values are levels; this one, that the rules use it.
func TestAuthorizePowerLevelForm(t *testing.T) {
	t.Parallel()
	of := func(content string) Proto { return stateProto(creator, TypePowerLevels, "", content) }
	everybody := []stateEvent{{creator, TypePowerLevels, "", `{"users_default":100}`}}
	runAuthCases(t, []authCase{
		{"empty", "1-12", everybody, of(`{}`), ""},
		{"unknown members", "1-12", everybody, of(`{"org.example":"x"}`), ""},
		{"ban text", "10-12", everybody, of(`{"ban":"50"}`), "ban in m.room.power_levels has the value \"50\""},
		{"ban text", "1-9", everybody, of(`{"ban":"50"}`), ""},
		{"ban null", "1-12", everybody, of(`{"ban":null}`), "is not a power level"},
		{"events an array", "1-12", everybody, of(`{"events":[]}`), "is not an object"},
		{"events of text", "10-12", everybody, of(`{"events":{"x":"1"}}`), "is not a power level"},
		{"events of text", "1-9", everybody, of(`{"events":{"x":"1"}}`), ""},
		{"notifications an array", "6-12", everybody, of(`{"notifications":[]}`), "is not an object"},
		{"notifications an array", "1-5", everybody, of(`{"notifications":[]}`), ""},
		{"notifications of text", "10-12", everybody, of(`{"notifications":{"room":"1"}}`), "is not a power level"},
		{"users null", "1-12", everybody, of(`{"users":null}`), "is not an object"},
		{"users of null", "1-12", everybody, of(`{"users":{"@a:b.c":null}}`), "is not a power level"},
		{"users of text", "10-12", everybody, of(`{"users":{"@a:b.c":"1"}}`), "is not a power level"},
		{"users of text", "1-9", everybody, of(`{"users":{"@a:b.c":"1"}}`), ""},
		{"users of floats", "1-5", everybody, of(`{"users":{"@a:b.c":1.5}}`), ""},
		{"users that are none", "1-12", everybody, of(`{"users":{"alice":1}}`), "is not a user ID"},
	})
}

// Rule 9.4, and 10.4 of version 12.
func TestAuthorizeFirstPowerLevels(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		first := func() *testRoom { return newTestRoom(t, v).without(StateKey{TypePowerLevels, ""}) }
		wantError(t, first().try(stateProto(creator, TypePowerLevels, "", `{"users":{"`+alice+`":9000},"ban":9000}`)), "", "")
		wantError(t, first().try(stateProto(alice, TypePowerLevels, "", `{}`)), matrix.Forbidden, "you need power level 50")
		err := first().try(stateProto(creator, TypePowerLevels, "", `{"users":{"`+creator+`":100}}`))
		if (err != nil) != v.PrivilegedCreators {
			t.Errorf("the creator among users: %v", err)
		}
	})
}

// Rule 10.4 of version 12: no creator has a level, also no additional one.
func TestAuthorizeCreatorsHaveNoLevel(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"11", "12"} {
		v := mustVersion(t, id)
		r := newEmptyRoom(t, v, `{"additional_creators":["`+mod+`"],"creator":"`+creator+`"}`)
		r.put(creator, TypeMember, creator, `{"membership":"join"}`)
		for _, user := range []string{creator, mod, alice} {
			err := r.try(stateProto(creator, TypePowerLevels, "", `{"users":{"`+user+`":1}}`))
			code := matrix.Code("")
			if v.PrivilegedCreators && user != alice {
				code = matrix.BadJSON
			}
			wantError(t, err, code, "a creator of the room")
		}
	}
}

// Rule 9.5: the single levels.
func TestAuthorizeSingleLevels(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"} {
		level := func(n int) string { return fmt.Sprintf(`"%s":%d`, name, n) }
		// The moderator has 50, which has to remain enough to send the event.
		cases := []struct {
			what, from, to, want string
		}{
			{"unchanged", level(49), level(49), ""},
			{"down", level(50), level(10), ""},
			{"up to one's own", level(10), level(50), ""},
			{"up beyond one's own", level(10), level(51), "setting " + name + ", which is 51"},
			{"added", "", level(50), ""},
			{"added beyond one's own", "", level(51), "setting " + name},
			{"removed", level(50), "", ""},
			{"negative", level(0), level(-5), ""},
		}
		if name != "state_default" && name != "users_default" {
			cases = append(cases, []struct{ what, from, to, want string }{
				{"unchanged beyond one's own", level(100), level(100), ""},
				{"down from beyond one's own", level(51), level(50), "changing " + name + ", which is 51"},
				{"removed from beyond one's own", level(51), "", "changing " + name},
			}...)
		}
		var table []authCase
		for _, c := range cases {
			for _, id := range []string{"1", "10", "12"} {
				r := &testRoom{version: mustVersion(t, id)}
				more := `"events":{"m.room.power_levels":50}`
				from, to := more, more
				if c.from != "" {
					from += "," + c.from
				}
				if c.to != "" {
					to += "," + c.to
				}
				table = append(table, authCase{
					name + " " + c.what + " v" + id, id, []stateEvent{{creator, TypePowerLevels, "", r.levels(from)}},
					stateProto(mod, TypePowerLevels, "", r.levels(to)), c.want,
				})
			}
		}
		runAuthCases(t, table)
	}
}

// Rules 9.6 and 9.7: events, and from version 6 on notifications.
func TestAuthorizeLevelMaps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, versions string }{{"events", "1-12"}, {"notifications", "6-12"}} {
		for _, change := range []struct{ what, from, to, want string }{
			{"unchanged", `{"x":10}`, `{"x":10}`, ""},
			{"unchanged beyond one's own", `{"x":100}`, `{"x":100}`, ""},
			{"up to one's own", `{"x":10}`, `{"x":50}`, ""},
			{"up beyond one's own", `{"x":10}`, `{"x":51}`, "setting " + c.name + ".x, which is 51"},
			{"down", `{"x":50}`, `{"x":10}`, ""},
			{"down from beyond one's own", `{"x":51}`, `{"x":10}`, "changing " + c.name + ".x, which is 51"},
			{"added", `{}`, `{"x":50}`, ""},
			{"added beyond one's own", `{}`, `{"x":51}`, "setting " + c.name + ".x"},
			{"removed", `{"x":50}`, `{}`, ""},
			{"removed from beyond one's own", `{"x":51}`, `{}`, "changing " + c.name + ".x"},
			{"one of many", `{"a":100,"b":1,"x":51}`, `{"a":100,"b":2}`, "changing " + c.name + ".x"},
		} {
			t.Run(c.name+" "+change.what, func(t *testing.T) {
				t.Parallel()
				for _, id := range versionSpan(t, c.versions) {
					r := newTestRoom(t, mustVersion(t, id))
					fixed := `"state_default":50,"` + c.name + `":`
					r.put(creator, TypePowerLevels, "", r.levels(fixed+change.from))
					code := matrix.Forbidden
					if change.want == "" {
						code = ""
					}
					wantError(t, r.try(stateProto(mod, TypePowerLevels, "", r.levels(fixed+change.to))), code, change.want)
				}
			})
		}
	}
	eachVersion(t, "1-5", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		wantError(t, r.try(stateProto(mod, TypePowerLevels, "", r.levels(`"notifications":{"room":99}`))), "", "")
	})
}

// Rules 9.8 and 9.9: users.
func TestAuthorizeUserLevels(t *testing.T) {
	t.Parallel()
	base := map[string]int{admin: 100, mod: 50, alice: 10, "@peer:a.example": 50}
	levels := func(changes map[string]int) string {
		users := ""
		for _, user := range []string{admin, mod, alice, "@peer:a.example", bob} {
			level, ok := base[user]
			if changed, is := changes[user]; is {
				level, ok = changed, changed != gone
			}
			if ok {
				users += fmt.Sprintf(`,"%s":%d`, user, level)
			}
		}
		return `{"users":{` + users[1:] + `}}`
	}
	for _, c := range []struct {
		name    string
		changes map[string]int
		want    string
	}{
		{"nothing", nil, ""},
		{"raising somebody", map[string]int{alice: 20}, ""},
		{"raising somebody to one's own", map[string]int{alice: 50}, ""},
		{"raising somebody beyond one's own", map[string]int{alice: 51}, "setting users." + alice + ", which is 51"},
		{"lowering somebody", map[string]int{alice: -1}, ""},
		{"removing somebody", map[string]int{alice: gone}, ""},
		{"adding somebody", map[string]int{bob: 50}, ""},
		{"adding somebody beyond one's own", map[string]int{bob: 51}, "setting users." + bob},
		{"lowering an equal", map[string]int{"@peer:a.example": 49}, "more than power level 50 to change that of @peer"},
		{"raising an equal", map[string]int{"@peer:a.example": 51}, "more than power level 50"},
		{"removing an equal", map[string]int{"@peer:a.example": gone}, "more than power level 50"},
		{"lowering a superior", map[string]int{admin: 50}, "more than power level 100 to change that of " + admin},
		{"removing a superior", map[string]int{admin: gone}, "more than power level 100"},
		{"lowering oneself", map[string]int{mod: 49}, ""},
		{"removing oneself", map[string]int{mod: gone}, ""},
		{"raising oneself", map[string]int{mod: 51}, "setting users." + mod},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, id := range Versions() {
				r := newTestRoom(t, mustVersion(t, id))
				r.put(creator, TypePowerLevels, "", levels(nil))
				code := matrix.Forbidden
				if c.want == "" {
					code = ""
				}
				wantError(t, r.try(stateProto(mod, TypePowerLevels, "", levels(c.changes))), code, c.want)
			}
		})
	}
}

// gone means that the level is removed.
const gone = -1 << 30

// Levels are compared by value, not by spelling.
func TestAuthorizeSpellingIsNoChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ versions, from, to string }{
		{"1-9", `"ban":100`, `"ban":"100"`},
		{"1-9", `"ban":" +0100 "`, `"ban":"100"`},
		{"1-5", `"ban":100.9`, `"ban":100`},
		{"1-9", `"events":{"x":100}`, `"events":{"x":"100"}`},
	} {
		eachVersion(t, c.versions, func(t *testing.T, v *Version) {
			r := newTestRoom(t, v)
			r.put(creator, TypePowerLevels, "", r.levels(c.from))
			wantError(t, r.try(stateProto(mod, TypePowerLevels, "", r.levels(c.to))), "", "")
		})
	}
}

// A privileged creator may set levels that no user has.
func TestAuthorizePrivilegedCreatorSetsLevels(t *testing.T) {
	t.Parallel()
	r := newTestRoom(t, mustVersion(t, "12"))
	high := stateProto(creator, TypePowerLevels, "", `{"ban":9007199254740991,"users":{"`+admin+`":9007199254740991}}`)
	wantError(t, r.try(high), "", "")
	r.put(creator, TypePowerLevels, "", string(high.Content))
	wantError(t, r.try(stateProto(creator, TypePowerLevels, "", `{}`)), "", "")
	wantError(t, r.try(stateProto(mod, TypePowerLevels, "", `{}`)), matrix.Forbidden, "you need power level 50")
}
