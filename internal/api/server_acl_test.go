package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

func TestServerACL(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	path := matrixtest.Path("rooms", room, "state", "m.room.server_acl")
	for _, test := range []struct {
		content string
		code    string // "": it is taken
	}{
		{`{"allow":["*"]}`, ""},
		{`{"allow":["*"],"deny":["evil.example","*.evil.example"],"allow_ip_literals":false}`, ""},
		{`{"allow":["LOCAL????"],"deny":["localhost?","localhost:8448"]}`, ""},
		{`{"allow":["*"],"org.example.note":{"more":1}}`, ""},
		{`{"allow":["*"],"deny":null,"allow_ip_literals":null}`, ""},
		{`{}`, "M_INVALID_PARAM"},
		{`{"allow":[]}`, "M_INVALID_PARAM"},
		{`{"allow":null}`, "M_INVALID_PARAM"},
		{`{"allow":["other.example"]}`, "M_INVALID_PARAM"},
		{`{"allow":["*"],"deny":["localhost"]}`, "M_INVALID_PARAM"},
		{`{"allow":["*"],"deny":["*"]}`, "M_INVALID_PARAM"},
		{`{"allow":["*"],"deny":["Local*"]}`, "M_INVALID_PARAM"},
		{`{"allow":"*"}`, "M_BAD_JSON"},
		{`{"allow":[1]}`, "M_BAD_JSON"},
		{`{"allow":["*"],"deny":{}}`, "M_BAD_JSON"},
		{`{"allow":["*"],"deny":[["*"]]}`, "M_BAD_JSON"},
		{`{"allow":["*"],"allow_ip_literals":"yes"}`, "M_BAD_JSON"},
	} {
		answer := alice.Do("PUT", path, test.content)
		atCreation := alice.Do("POST", "/createRoom", `{"initial_state":[{"type":"m.room.server_acl","content":`+test.content+`}]}`)
		if test.code == "" {
			answer.OK()
			atCreation.OK()
			continue
		}
		answer.Refused(400, test.code)
		atCreation.Refused(400, test.code)
	}
	bob.Do("PUT", path, `{"allow":["*"]}`).Refused(403, "M_FORBIDDEN")
	// With a state key, and as a message, it is no access control list.
	alice.Do("PUT", path+"/other", `{}`).OK()
	alice.SendEvent(room, "m.room.server_acl", map[string]any{})
}
