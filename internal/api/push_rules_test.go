package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// rulePath is the path of a push rule, or of something of it.
func rulePath(kind, id string, more ...string) string {
	return matrixtest.Path(append([]string{"pushrules", "global", kind, id}, more...)...)
}

// ruleIDs lists the IDs of the user's own rules of a kind.
func ruleIDs(c *matrixtest.Client, kind string) []string {
	c.T.Helper()
	ids := []string{}
	rules, _ := c.Do("GET", "/pushrules/", nil).OK().At("global", kind).([]any)
	for _, rule := range rules {
		if id, _ := rule.(map[string]any)["rule_id"].(string); !strings.HasPrefix(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestPushRules(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	all := alice.Do("GET", "/pushrules/", nil).OK()
	global := alice.Do("GET", "/pushrules/global/", nil).OK()
	if diff := cmp.Diff(all.At("global"), global.At()); diff != "" {
		t.Errorf("the one ruleset is not that of all (-all +global):\n%s", diff)
	}
	if got := all.String("global", "override", 0, "rule_id"); got != ".m.rule.master" {
		t.Errorf("the first rule is %s", got)
	}
	for _, kind := range []string{"override", "content", "room", "sender", "underride"} {
		if _, ok := global.At(kind).([]any); !ok {
			t.Errorf("%s is no list", kind)
		}
	}

	// The examples of the specification.
	alice.Do("PUT", rulePath("room", "!dj234r78wl45Gh4D:matrix.org"), `{"actions":[]}`).OK()
	alice.Do("PUT", rulePath("sender", "@spambot:matrix.org"), `{"actions":["dont_notify"]}`).OK()
	cake, lie, beer := "SSByZWFsbHkgbGlrZSBjYWtl", "U3BvbmdlIGNha2UgaXMgYmVzdA", "U2VlIHlvdSBpbiBUaGUgRHVrZQ"
	alice.Do("PUT", rulePath("content", cake), `{"pattern":"cake","actions":["notify",{"set_tweak":"sound","value":"cakealarm.wav"}]}`).OK()
	alice.Do("PUT", rulePath("content", lie)+"?before="+cake, `{"pattern":"cake*lie","actions":["notify"]}`).OK()
	alice.Do("PUT", rulePath("override", beer), `{"conditions":[{"kind":"event_match","key":"content.body","pattern":"beer"},
		{"kind":"room_member_count","is":"<=10"}],"actions":["notify",{"set_tweak":"sound","value":"beeroclock.wav"}]}`).OK()
	if diff := cmp.Diff([]string{lie, cake}, ruleIDs(alice, "content")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := `{"actions":["notify",{"set_tweak":"sound","value":"cakealarm.wav"}],"default":false,"enabled":true,"pattern":"cake","rule_id":"` + cake + `"}`
	if got := strings.TrimSpace(string(alice.Do("GET", rulePath("content", cake), nil).OK().Body)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	alice.Do("PUT", rulePath("content", cake, "actions"), `{"actions":[]}`).OK()
	if got := strings.TrimSpace(string(alice.Do("GET", rulePath("content", cake, "actions"), nil).OK().Body)); got != `{"actions":[]}` {
		t.Errorf("actions: %s", got)
	}
	alice.Do("DELETE", rulePath("content", cake), nil).OK()
	alice.Do("DELETE", rulePath("content", cake), nil).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", rulePath("content", cake), nil).Refused(404, "M_NOT_FOUND")
}

func TestEnablePushRules(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	alice.Do("PUT", rulePath("room", "!a:b"), `{"actions":["notify"]}`).OK()
	for _, path := range []string{rulePath("room", "!a:b", "enabled"), rulePath("override", ".m.rule.master", "enabled")} {
		// Old clients send the bare value.
		for _, body := range []string{`{"enabled":false}`, `{"enabled":true}`, `false`, ` true `} {
			alice.Do("PUT", path, body).OK()
			want := strings.Contains(body, "true")
			if got := alice.Do("GET", path, nil).OK().At("enabled"); got != want {
				t.Errorf("after %s: %v", body, got)
			}
		}
		alice.Do("PUT", path, `{"enabled":"false"}`).Refused(400, "M_BAD_JSON")
		alice.Do("PUT", path, `"false"`).Refused(400, "M_BAD_JSON")
		alice.Do("PUT", path, `{}`).Refused(400, "M_MISSING_PARAM")
	}
}

func TestPushRuleRefusals(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	const quiet = `{"actions":[]}`
	for _, test := range []struct {
		path, body string
		status     int
		code       string
	}{
		{rulePath("override", ".mine"), quiet, 400, "M_INVALID_PARAM"},
		{rulePath("override", ".m.rule.master"), quiet, 400, "M_INVALID_PARAM"},
		{rulePath("override", "a/b"), quiet, 400, "M_INVALID_PARAM"},
		{rulePath("override", `a\b`), quiet, 400, "M_INVALID_PARAM"},
		{rulePath("room", "x"), `{}`, 400, "M_MISSING_PARAM"},
		{rulePath("room", "x"), `{"actions":"notify"}`, 400, "M_BAD_JSON"},
		{rulePath("room", "x"), `{"actions":[null]}`, 400, "M_BAD_JSON"},
		{rulePath("room", "x"), `{"actions":["jump"]}`, 400, "M_INVALID_PARAM"},
		{rulePath("room", "x") + "?before=y", quiet, 400, "M_UNKNOWN"},
		{rulePath("room", "x") + "?after=y", quiet, 400, "M_UNKNOWN"},
		{rulePath("override", "x") + "?before=" + url.QueryEscape(".m.rule.master"), quiet, 400, "M_UNKNOWN"},
		{rulePath("content", "x"), quiet, 400, "M_MISSING_PARAM"},
		{rulePath("override", "x"), `{"actions":[],"conditions":{}}`, 400, "M_BAD_JSON"},
		{rulePath("override", "x"), `{"actions":[],"conditions":[{}]}`, 400, "M_MISSING_PARAM"},
		{rulePath("override", "none", "enabled"), `{"enabled":true}`, 404, "M_NOT_FOUND"},
		{rulePath("override", "none", "actions"), quiet, 404, "M_NOT_FOUND"},
		{rulePath("override", "none", "actions"), `{}`, 400, "M_MISSING_PARAM"},
		{rulePath("override", "x", "conditions"), quiet, 404, "M_UNRECOGNIZED"},
		{matrixtest.Path("pushrules", "device", "override", "x"), quiet, 404, "M_NOT_FOUND"},
		{matrixtest.Path("pushrules", "device", "override", "x", "enabled"), `{"enabled":true}`, 404, "M_NOT_FOUND"},
		{matrixtest.Path("pushrules", "device", "override", "x", "actions"), quiet, 404, "M_NOT_FOUND"},
		{matrixtest.Path("pushrules", "device", "tag", "override", "x"), quiet, 404, "M_UNRECOGNIZED"},
	} {
		alice.Do("PUT", test.path, test.body).Refused(test.status, test.code)
	}
	alice.Do("DELETE", rulePath("override", ".m.rule.master"), nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", rulePath("override", "x", "enabled"), nil).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", rulePath("override", "x", "actions"), nil).Refused(404, "M_NOT_FOUND")
	for _, path := range []string{"", "override", "override/.m.rule.master", "override/.m.rule.master/enabled", "override/.m.rule.master/actions"} {
		alice.Do("GET", "/pushrules/device/"+path, nil).Refused(404, "M_NOT_FOUND")
	}
	for _, kind := range []string{"override", "content", "room", "sender", "underride"} {
		if got := ruleIDs(alice, kind); len(got) > 0 {
			t.Errorf("after refusals there is %v", got)
		}
	}
}

// pushRulePrefixes are the generations that have push rules.
var pushRulePrefixes = []string{"/_matrix/client/v3", "/_matrix/client/r0", prefixV1}

// TestUnknownKindsAndRulesAreNotFound: whatever is asked of a rule that is not there,
// and whatever the body, the answer is that there is none.
func TestUnknownKindsAndRulesAreNotFound(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for _, alice.Prefix = range pushRulePrefixes {
		for _, slash := range []string{"", "/"} {
			alice.Do("GET", matrixtest.Path("pushrules", "global", "overdrive")+slash, nil).Refused(404, "M_NOT_FOUND")
			for _, id := range []string{"x", ".m.rule.master", ".x", `a\b`} {
				alice.Do("GET", rulePath("overdrive", id)+slash, nil).Refused(404, "M_NOT_FOUND")
				alice.Do("PUT", rulePath("overdrive", id)+slash, `{}`).Refused(404, "M_NOT_FOUND")
				alice.Do("DELETE", rulePath("overdrive", id)+slash, nil).Refused(404, "M_NOT_FOUND")
				for _, what := range []string{"enabled", "actions"} {
					alice.Do("GET", rulePath("overdrive", id, what)+slash, nil).Refused(404, "M_NOT_FOUND")
					alice.Do("PUT", rulePath("overdrive", id, what)+slash, `7`).Refused(404, "M_NOT_FOUND")
				}
			}
			for _, id := range []string{"x", ".x", ".m.rule.call"} {
				alice.Do("GET", rulePath("override", id)+slash, nil).Refused(404, "M_NOT_FOUND")
				alice.Do("DELETE", rulePath("override", id)+slash, nil).Refused(404, "M_NOT_FOUND")
				alice.Do("GET", rulePath("override", id, "enabled")+slash, nil).Refused(404, "M_NOT_FOUND")
				alice.Do("GET", rulePath("override", id, "actions")+slash, nil).Refused(404, "M_NOT_FOUND")
				alice.Do("PUT", rulePath("override", id, "enabled")+slash, `{"enabled":true}`).Refused(404, "M_NOT_FOUND")
				alice.Do("PUT", rulePath("override", id, "actions")+slash, `{"actions":[]}`).Refused(404, "M_NOT_FOUND")
			}
		}
	}
}

func TestWrongMethodsOnPushRules(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for _, alice.Prefix = range pushRulePrefixes {
		for path, methods := range map[string][]string{
			"/pushrules":                         {"PUT", "POST", "DELETE"},
			"/pushrules/global":                  {"PUT", "POST", "DELETE"},
			"/pushrules/global/override":         {"PUT", "POST", "DELETE"},
			"/pushrules/global/overdrive":        {"PUT", "POST", "DELETE"},
			rulePath("override", "x"):            {"POST", "PATCH"},
			rulePath("override", "x", "enabled"): {"POST", "DELETE"},
			rulePath("override", "x", "actions"): {"POST", "DELETE"},
		} {
			for _, method := range methods {
				alice.Do(method, path, `{}`).Refused(405, "M_UNRECOGNIZED")
				alice.Do(method, path+"/", `{}`).Refused(405, "M_UNRECOGNIZED")
			}
		}
	}
}

func TestPushRulesOfOneKind(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	alice.Do("PUT", rulePath("room", "!a:b"), `{"actions":[]}`).OK()
	for _, alice.Prefix = range pushRulePrefixes {
		all := alice.Do("GET", "/pushrules/global/", nil).OK()
		for _, kind := range []string{"override", "content", "room", "sender", "underride"} {
			for _, slash := range []string{"", "/"} {
				got := alice.Do("GET", matrixtest.Path("pushrules", "global", kind)+slash, nil)
				var list []any
				if err := json.Unmarshal(got.Body, &list); err != nil || got.Status != 200 || list == nil {
					t.Errorf("%s: %d %s", kind, got.Status, got.Body)
				}
				if diff := cmp.Diff(all.At(kind), any(list)); diff != "" {
					t.Errorf("%s (-all +kind):\n%s", kind, diff)
				}
			}
		}
	}
}

func TestPushRulesAreEachUsersOwn(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice, bob := c.Register("alice", "wordpass"), c.Register("bob", "wordpass")
	alice.Do("PUT", rulePath("room", "!a:b"), `{"actions":[]}`).OK()
	if got := ruleIDs(bob, "room"); len(got) > 0 {
		t.Errorf("bob has %v", got)
	}
	if got := ruleIDs(alice.Login("alice", "wordpass"), "room"); len(got) != 1 {
		t.Errorf("on another device: %v", got)
	}
	mention := bob.Do("GET", rulePath("override", ".m.rule.is_user_mention"), nil).OK()
	if got := mention.String("conditions", 0, "value"); got != bob.UserID {
		t.Errorf("a mention is one of %s", got)
	}
}
