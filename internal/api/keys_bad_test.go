package api

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// changed is an object with other members; nil takes one away.
func changed(object map[string]any, members map[string]any) map[string]any {
	other := maps.Clone(object)
	maps.Copy(other, members)
	maps.DeleteFunc(other, func(_ string, value any) bool { return value == nil })
	return other
}

func TestBadDeviceKeys(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := newCrypto(anyone.Register("alice", "wordpass"))
	bob := anyone.Register("bob", "wordpass")
	good, signed := phone.unsignedKeys(), phone.identity()
	ed, curve := "ed25519:"+phone.DeviceID, "curve25519:"+phone.DeviceID
	keys := func(members map[string]any) map[string]any {
		return phone.sign(changed(good, map[string]any{"keys": changed(good["keys"].(map[string]any), members)}))
	}
	signature := signed["signatures"].(map[string]any)[phone.UserID].(map[string]any)[ed].(string)
	withSignature := func(text any) map[string]any {
		return changed(signed, map[string]any{"signatures": map[string]any{phone.UserID: map[string]any{ed: text}}})
	}
	public := publicOf(phone.key)
	for what, test := range map[string]struct {
		keys   any
		status int
		code   string
	}{
		"a string":                        {"x", 400, "M_BAD_JSON"},
		"a list":                          {[]any{}, 400, "M_BAD_JSON"},
		"empty":                           {map[string]any{}, 400, "M_MISSING_PARAM"},
		"no user":                         {phone.sign(changed(good, map[string]any{"user_id": nil})), 400, "M_MISSING_PARAM"},
		"no device":                       {phone.sign(changed(good, map[string]any{"device_id": nil})), 400, "M_MISSING_PARAM"},
		"no algorithms":                   {phone.sign(changed(good, map[string]any{"algorithms": nil})), 400, "M_MISSING_PARAM"},
		"no keys":                         {phone.sign(changed(good, map[string]any{"keys": nil})), 400, "M_MISSING_PARAM"},
		"no signatures":                   {good, 400, "M_MISSING_PARAM"},
		"another user":                    {phone.sign(changed(good, map[string]any{"user_id": "@bob:localhost"})), 400, "M_INVALID_PARAM"},
		"another device":                  {phone.sign(changed(good, map[string]any{"device_id": "OTHER"})), 400, "M_INVALID_PARAM"},
		"a user that is a number":         {phone.sign(changed(good, map[string]any{"user_id": 1})), 400, "M_BAD_JSON"},
		"algorithms that are a string":    {phone.sign(changed(good, map[string]any{"algorithms": "m"})), 400, "M_BAD_JSON"},
		"an algorithm that is a number":   {phone.sign(changed(good, map[string]any{"algorithms": []any{1}})), 400, "M_BAD_JSON"},
		"an empty algorithm":              {phone.sign(changed(good, map[string]any{"algorithms": []any{""}})), 400, "M_INVALID_PARAM"},
		"a long algorithm":                {phone.sign(changed(good, map[string]any{"algorithms": []any{strings.Repeat("a", 256)}})), 400, "M_INVALID_PARAM"},
		"many algorithms":                 {phone.sign(changed(good, map[string]any{"algorithms": strings.Split(strings.Repeat("a ", 100), " ")})), 400, "M_INVALID_PARAM"},
		"a key that is a number":          {keys(map[string]any{curve: 1}), 400, "M_BAD_JSON"},
		"a key of another device":         {keys(map[string]any{"ed25519:OTHER": public}), 400, "M_INVALID_PARAM"},
		"a key without algorithm":         {keys(map[string]any{":" + phone.DeviceID: public}), 400, "M_INVALID_PARAM"},
		"no signing key":                  {keys(map[string]any{ed: nil}), 400, "M_INVALID_PARAM"},
		"a padded key":                    {keys(map[string]any{curve: phone.curve + "="}), 400, "M_INVALID_PARAM"},
		"a short key":                     {keys(map[string]any{curve: phone.curve[:42]}), 400, "M_INVALID_PARAM"},
		"a key with a line feed":          {keys(map[string]any{curve: phone.curve + "\n"}), 400, "M_INVALID_PARAM"},
		"a key with bits that nobody set": {keys(map[string]any{curve: strings.Repeat("A", 42) + "B"}), 400, "M_INVALID_PARAM"},
		"another signing key":             {changed(signed, map[string]any{"keys": keys(map[string]any{ed: curveKey()})["keys"]}), 400, "M_INVALID_SIGNATURE"},
		"more than was signed":            {changed(signed, map[string]any{"more": 1}), 400, "M_INVALID_SIGNATURE"},
		"a signature of somebody else":    {sign(t, good, bob.UserID, phone.DeviceID, phone.key), 400, "M_INVALID_SIGNATURE"},
		"a padded signature":              {withSignature(signature + "=="), 400, "M_INVALID_SIGNATURE"},
		"an empty signature":              {withSignature(""), 400, "M_INVALID_SIGNATURE"},
		"a signature that is a number":    {withSignature(1), 400, "M_BAD_JSON"},
		"signatures that are a list":      {changed(signed, map[string]any{"signatures": []any{}}), 400, "M_BAD_JSON"},
		"a fraction":                      {json.RawMessage(`{"user_id":"@alice:localhost","x":1.5}`), 400, "M_BAD_JSON"},
		"too long":                        {phone.sign(changed(good, map[string]any{"x": strings.Repeat("x", 8<<10)})), 413, "M_TOO_LARGE"},
	} {
		answer := phone.upload(map[string]any{"device_keys": test.keys, "one_time_keys": map[string]any{"curve25519:A": phone.curve}})
		if answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s: %d %s", what, answer.Status, answer.Body)
		}
	}
	sameJSON(t, "stored", query(bob, phone.UserID).At("device_keys"), map[string]any{phone.UserID: map[string]any{}})
	keysLeft(t, phone.Sync(""), map[string]any{"signed_curve25519": 0})
	phone.Do("POST", "/keys/upload/OTHER", `{}`).Refused(400, "M_INVALID_PARAM")
	phone.Do("POST", "/_matrix/client/v2_alpha/keys/upload/"+phone.DeviceID, map[string]any{"device_keys": signed}).OK()
}

func TestBadOneTimeKeys(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := newCrypto(anyone.Register("alice", "wordpass"))
	key := map[string]any{"key": curveKey()}
	good := phone.sign(key)
	phone.upload(map[string]any{"one_time_keys": map[string]any{"signed_curve25519:A": good}}).Refused(400, "M_INVALID_PARAM") // by which keys?
	phone.upload(map[string]any{"device_keys": phone.identity()}).OK()
	stranger := newCrypto(phone.Client)
	many := map[string]any{}
	for len(many) < 201 {
		many["curve25519:"+curveKey()] = phone.curve
	}
	for what, test := range map[string]struct {
		keys   any
		status int
		code   string
	}{
		"a list":                    {[]any{}, 400, "M_BAD_JSON"},
		"too many":                  {many, 400, "M_INVALID_PARAM"},
		"no algorithm":              {map[string]any{":A": good}, 400, "M_INVALID_PARAM"},
		"no ID":                     {map[string]any{"signed_curve25519:": good}, 400, "M_INVALID_PARAM"},
		"no colon":                  {map[string]any{"signed_curve25519": good}, 400, "M_INVALID_PARAM"},
		"a long name":               {map[string]any{"signed_curve25519:" + strings.Repeat("A", 240): good}, 400, "M_INVALID_PARAM"},
		"a string":                  {map[string]any{"signed_curve25519:A": phone.curve}, 400, "M_BAD_JSON"},
		"null":                      {map[string]any{"signed_curve25519:A": nil}, 400, "M_BAD_JSON"},
		"no key":                    {map[string]any{"signed_curve25519:A": phone.sign(map[string]any{})}, 400, "M_MISSING_PARAM"},
		"no signatures":             {map[string]any{"signed_curve25519:A": key}, 400, "M_MISSING_PARAM"},
		"a key that is a number":    {map[string]any{"signed_curve25519:A": phone.sign(map[string]any{"key": 1})}, 400, "M_BAD_JSON"},
		"a padded key":              {map[string]any{"signed_curve25519:A": phone.sign(map[string]any{"key": phone.curve + "="})}, 400, "M_INVALID_PARAM"},
		"a fallback that is no":     {map[string]any{"signed_curve25519:A": phone.sign(map[string]any{"key": phone.curve, "fallback": "no"})}, 400, "M_BAD_JSON"},
		"signed by another key":     {map[string]any{"signed_curve25519:A": stranger.sign(key)}, 400, "M_INVALID_SIGNATURE"},
		"changed after it":          {map[string]any{"signed_curve25519:A": changed(good, map[string]any{"fallback": true})}, 400, "M_INVALID_SIGNATURE"},
		"too long":                  {map[string]any{"signed_curve25519:A": phone.sign(map[string]any{"key": phone.curve, "x": strings.Repeat("x", 2<<10)})}, 413, "M_TOO_LARGE"},
		"an unsigned object":        {map[string]any{"curve25519:A": good}, 400, "M_BAD_JSON"},
		"an unsigned short key":     {map[string]any{"curve25519:A": "AAAA"}, 400, "M_INVALID_PARAM"},
		"a number of an algorithm":  {map[string]any{"org.example:A": 1}, 400, "M_BAD_JSON"},
		"a long key of another one": {map[string]any{"org.example:A": strings.Repeat("x", 2<<10)}, 413, "M_TOO_LARGE"},
	} {
		for _, member := range []string{"one_time_keys", "fallback_keys"} {
			answer := phone.upload(map[string]any{member: test.keys})
			if answer.Status != test.status || answer.Errcode() != test.code {
				t.Errorf("%s, %s: %d %s", member, what, answer.Status, answer.Body)
			}
		}
	}
	two := map[string]any{"curve25519:A": phone.curve, "curve25519:B": phone.curve}
	phone.upload(map[string]any{"fallback_keys": two}).Refused(400, "M_INVALID_PARAM")
	keysLeft(t, phone.Sync(""), map[string]any{"signed_curve25519": 0})
}

// A client library reads which keys were meant out of the message.
func TestOtherKeyWithTheSameID(t *testing.T) {
	t.Parallel()
	phone := encrypting(newServer(t).Register("alice", "wordpass"))
	first := phone.oneTime(1)
	phone.upload(map[string]any{"one_time_keys": first}).OK()
	phone.number = 0
	second := phone.oneTime(1)
	message := phone.upload(map[string]any{"one_time_keys": second}).Refused(400, "M_INVALID_PARAM").String("error")
	rest, ok := strings.CutPrefix(message, "One time key signed_curve25519:000001 already exists. Old key: ")
	old, sent, ok2 := strings.Cut(rest, "; new key: ")
	if !ok || !ok2 {
		t.Fatalf("message: %s", message)
	}
	for text, want := range map[string]any{old: first["signed_curve25519:000001"], strings.ReplaceAll(sent, "'", `"`): second["signed_curve25519:000001"]} {
		var key any
		if err := json.Unmarshal([]byte(text), &key); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		sameJSON(t, "key", key, want)
	}
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for body, code := range map[string]string{
		`{}`:                                   "M_MISSING_PARAM",
		`{"device_keys":[]}`:                   "M_BAD_JSON",
		`{"device_keys":{"@a:localhost":{}}}`:  "M_BAD_JSON",
		`{"device_keys":{"@a:localhost":[1]}}`: "M_BAD_JSON",
		`{"device_keys":{"alice":[]}}`:         "M_INVALID_PARAM",
		`{"device_keys":{"":[]}}`:              "M_INVALID_PARAM",
		`{"device_keys":{},"timeout":-1}`:      "M_INVALID_PARAM",
		`{"device_keys":{},"timeout":1.5}`:     "M_BAD_JSON",
		`{"device_keys":{},"timeout":"1"}`:     "M_BAD_JSON",
	} {
		alice.Do("POST", "/keys/query", body).Refused(400, code)
	}
	answer := alice.Do("POST", "/keys/query", `{"device_keys":{"@a:elsewhere.example":[],"@alice:localhost":null},"timeout":10000}`).OK()
	sameJSON(t, "devices", answer.At("device_keys"), map[string]any{alice.UserID: map[string]any{}})
	if answer.At("failures", "elsewhere.example", "status") != 503.0 {
		t.Errorf("failures: %s", answer.Body)
	}
}

func TestBadSigningKeys(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, other := newCrossSigning(anyone.Register("alice", "wordpass")), newCrossSigning(anyone.Register("bob", "wordpass"))
	master := alice.masterKey()
	for what, test := range map[string]struct {
		body   map[string]any
		status int
		code   string
	}{
		"a string":                     {map[string]any{"master_key": "x"}, 400, "M_BAD_JSON"},
		"empty":                        {map[string]any{"master_key": map[string]any{}}, 400, "M_MISSING_PARAM"},
		"no user":                      {map[string]any{"master_key": changed(master, map[string]any{"user_id": nil})}, 400, "M_MISSING_PARAM"},
		"no usage":                     {map[string]any{"master_key": changed(master, map[string]any{"usage": nil})}, 400, "M_MISSING_PARAM"},
		"no keys":                      {map[string]any{"master_key": changed(master, map[string]any{"keys": nil})}, 400, "M_MISSING_PARAM"},
		"another user":                 {map[string]any{"master_key": other.masterKey()}, 400, "M_INVALID_PARAM"},
		"another usage":                {map[string]any{"master_key": alice.key("self_signing", alice.master)}, 400, "M_INVALID_PARAM"},
		"two usages":                   {map[string]any{"master_key": changed(master, map[string]any{"usage": []string{"master", "self_signing"}})}, 400, "M_INVALID_PARAM"},
		"a usage that is a string":     {map[string]any{"master_key": changed(master, map[string]any{"usage": "master"})}, 400, "M_BAD_JSON"},
		"no key":                       {map[string]any{"master_key": changed(master, map[string]any{"keys": map[string]any{}})}, 400, "M_INVALID_PARAM"},
		"two keys":                     {map[string]any{"master_key": changed(master, map[string]any{"keys": map[string]any{"ed25519:A": "A", "ed25519:B": "B"}})}, 400, "M_INVALID_PARAM"},
		"a key by another name":        {map[string]any{"master_key": changed(master, map[string]any{"keys": map[string]any{"ed25519:A": publicOf(alice.master)}})}, 400, "M_INVALID_PARAM"},
		"no key of 32 bytes":           {map[string]any{"master_key": changed(master, map[string]any{"keys": map[string]any{"ed25519:AAAA": "AAAA"}})}, 400, "M_INVALID_PARAM"},
		"another algorithm":            {map[string]any{"master_key": changed(master, map[string]any{"keys": map[string]any{"x:AAAA": "AAAA"}})}, 400, "M_INVALID_PARAM"},
		"too long":                     {map[string]any{"master_key": changed(master, map[string]any{"x": strings.Repeat("x", 8<<10)})}, 413, "M_TOO_LARGE"},
		"no master key":                {map[string]any{"self_signing_key": alice.selfKey()}, 400, "M_MISSING_PARAM"},
		"not signed":                   {map[string]any{"master_key": master, "self_signing_key": alice.key("self_signing", alice.self)}, 400, "M_INVALID_SIGNATURE"},
		"signed by another key":        {map[string]any{"master_key": master, "user_signing_key": alice.by(alice.self, alice.key("user_signing", alice.user))}, 400, "M_INVALID_SIGNATURE"},
		"changed after it":             {map[string]any{"master_key": master, "self_signing_key": changed(alice.selfKey(), map[string]any{"x": 1})}, 400, "M_INVALID_SIGNATURE"},
		"a wrong signature of its own": {map[string]any{"master_key": changed(alice.by(alice.master, master), map[string]any{"x": 1})}, 400, "M_INVALID_SIGNATURE"},
		"one key twice":                {map[string]any{"master_key": master, "self_signing_key": alice.by(alice.master, alice.key("self_signing", alice.master))}, 400, "M_INVALID_PARAM"},
	} {
		answer := alice.upload(test.body)
		if answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s: %d %s", what, answer.Status, answer.Body)
		}
	}
	sameJSON(t, "stored", query(alice.Client, alice.UserID).At("master_keys"), map[string]any{})
	alice.upload(alice.all()).OK()
	same := map[string]any{"self_signing_key": alice.by(alice.master, alice.key("self_signing", alice.user))}
	alice.upload(alice.authenticated(same)).Refused(400, "M_INVALID_PARAM") // it is the user-signing key
}

func TestSignaturesFailOneByOne(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := encrypting(anyone.Register("alice", "wordpass"))
	alice, bob := newCrossSigning(phone.Client), newCrossSigning(anyone.Register("bob", "wordpass"))
	laptop := encrypting(anyone.Login("alice", "wordpass"))
	bobs := encrypting(bob.Client)
	signatures := func(body any) *matrixtest.Response { return phone.Do("POST", "/keys/signatures/upload", body) }
	failures := func(answer *matrixtest.Response) map[string]any {
		codes := map[string]any{}
		for userID, byKey := range answer.OK().At("failures").(map[string]any) {
			for keyID, failure := range byKey.(map[string]any) {
				codes[userID+" "+keyID] = failure.(map[string]any)["errcode"]
				if failure.(map[string]any)["error"] == "" {
					t.Errorf("%s %s: no message", userID, keyID)
				}
			}
		}
		return codes
	}
	sameJSON(t, "without keys", failures(signatures(map[string]any{alice.UserID: map[string]any{
		phone.DeviceID: alice.by(alice.self, phone.identity()), publicOf(alice.master): phone.sign(alice.masterKey()),
	}})), map[string]any{alice.UserID + " " + phone.DeviceID: "M_NOT_FOUND", alice.UserID + " " + publicOf(alice.master): "M_NOT_FOUND"})
	alice.upload(alice.all()).OK()
	bob.upload(bob.all()).OK()

	answer := signatures(map[string]any{
		alice.UserID: map[string]any{
			phone.DeviceID:         alice.by(alice.self, phone.identity()),                                          // good
			laptop.DeviceID:        alice.by(alice.self, changed(laptop.unsignedKeys(), map[string]any{"more": 1})), // of something else
			"NONE":                 alice.by(alice.self, phone.unsignedKeys()),
			publicOf(alice.master): changed(phone.sign(alice.masterKey()), map[string]any{"unsigned": map[string]any{}}), // good
			publicOf(alice.self):   phone.sign(alice.selfKey()),
			"a string":             "x",
			"a long one":           map[string]any{"x": strings.Repeat("x", 8<<10)},
		},
		bob.UserID: map[string]any{
			publicOf(bob.master): alice.by(alice.self, bob.masterKey()), // by the wrong key
			bobs.DeviceID:        alice.by(alice.user, bobs.unsignedKeys()),
		},
		"@nobody:localhost":       map[string]any{"A": map[string]any{}},
		"@user:elsewhere.example": map[string]any{"A": map[string]any{}},
	})
	sameJSON(t, "failures", failures(answer), map[string]any{
		alice.UserID + " " + laptop.DeviceID: "M_INVALID_PARAM", alice.UserID + " NONE": "M_NOT_FOUND",
		alice.UserID + " " + publicOf(alice.self): "M_NOT_FOUND", alice.UserID + " a string": "M_BAD_JSON", alice.UserID + " a long one": "M_TOO_LARGE",
		bob.UserID + " " + publicOf(bob.master): "M_INVALID_SIGNATURE", bob.UserID + " " + bobs.DeviceID: "M_NOT_FOUND",
		"@nobody:localhost A": "M_NOT_FOUND", "@user:elsewhere.example A": "M_NOT_FOUND",
	})
	shown := query(phone.Client, alice.UserID, bob.UserID)
	device := alice.by(alice.self, phone.identity())
	device["unsigned"] = map[string]any{}
	sameJSON(t, "device", shown.At("device_keys", alice.UserID, phone.DeviceID), device)
	sameJSON(t, "master key", shown.At("master_keys", alice.UserID), phone.sign(alice.masterKey()))
	sameJSON(t, "other master key", shown.At("master_keys", bob.UserID, "signatures"), nil)

	none := map[string]any{alice.UserID: map[string]any{publicOf(alice.master): alice.masterKey()}}
	sameJSON(t, "unsigned", failures(signatures(none)), map[string]any{alice.UserID + " " + publicOf(alice.master): "M_INVALID_SIGNATURE"})
	wrong := map[string]any{alice.UserID: map[string]any{publicOf(alice.master): sign(t, alice.masterKey(), alice.UserID, laptop.DeviceID, phone.key)}}
	sameJSON(t, "wrong", failures(signatures(wrong)), map[string]any{alice.UserID + " " + publicOf(alice.master): "M_INVALID_SIGNATURE"})
	many := map[string]any{}
	for len(many) <= 2000 {
		many[curveKey()] = map[string]any{}
	}
	signatures(map[string]any{alice.UserID: many}).Refused(400, "M_INVALID_PARAM")
	signatures(`{"@alice:localhost":[]}`).Refused(400, "M_BAD_JSON")
	signatures(map[string]any{}).OK()
}
