package main

import (
	"net/http"
	"regexp"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestRulesOfPolicyListsAreShownToTheOperator(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	anybody := matrixtest.At(t, r.url(t, "http"), http.DefaultClient)
	alice := anybody.Register("alice", "wordpass")
	for _, name := range []string{"spam1", "spam2", "spam3", "spam4", "spam5", "spam6"} {
		anybody.Register(name, "wordpass")
	}
	list := alice.CreateRoom(map[string]any{"room_alias_name": "bans"})
	for _, rule := range [][2]string{{"user", "@spam*:localhost"}, {"user", "@nob\x1b[31mody:localhost"}, {"room", "#ba?s:*"}, {"server", "*"}, {"server", "evil.example"}} {
		alice.SetState(list, "m.policy.rule."+rule[0], rule[1][1:], map[string]any{"entity": rule[1], "recommendation": "m.ban", "reason": "spam"})
	}
	alice.SetState(list, "m.policy.rule.user", "hashed", map[string]any{
		"hashes": map[string]any{"sha256": "VPqwbUV7mMMkOVto3kPwsNXXiALMs7VCKWh3OeqqjGs"}, "recommendation": "m.ban",
	})
	if got := runWith(t, nil, environ, "policies"); got.code != exitOK || got.stdout != "There are no policy lists: policy_lists.rooms is empty.\n" {
		t.Errorf("got %+v", got)
	}
	environ = append(environ, "HOMESERVER_POLICY_LISTS_ROOMS=#bans:localhost")
	room := regexp.QuoteMeta(list)
	want := `^LIST +KIND +ENTITY +HITS\n` +
		room + ` +room +#ba\?s:\* +1: #bans:localhost\n` +
		room + ` +server +\* +not applied: it would hit this server\n` +
		room + ` +server +evil\.example +0\n` +
		room + ` +user +@nob\\u001b\[31mody:localhost +0\n` +
		room + ` +user +@spam\*:localhost +6: @spam1:localhost, @spam2:localhost, @spam3:localhost, @spam4:localhost, @spam5:localhost, …\n` +
		room + ` +user +sha256:VPqwbUV7mMMkOVto3kPwsNXXiALMs7VCKWh3OeqqjGs= +0\n`
	if got := runWith(t, nil, environ, "policies"); !regexp.MustCompile(want + `5 rules are applied, 1 are not\n$`).MatchString(got.stdout) {
		t.Errorf("got %+v", got)
	}
	environ = append(environ, "HOMESERVER_POLICY_LISTS_DRY_RUN=true")
	if got := runWith(t, nil, environ, "policies"); !regexp.MustCompile(want + `5 rules would be applied, 1 not; nothing is refused because of policy_lists.dry_run\n$`).MatchString(got.stdout) {
		t.Errorf("got %+v", got)
	}
}
