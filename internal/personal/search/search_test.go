package search_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/search"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestFindsByWords(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, body := range []string{
		"Hello, World!", "the martians are coming", "Crème brûlée and Straße", "meet me at https://example.org/path",
		"今天天气很好", "Привет, Ёлка", "it's O'Neil's \\ file", "first the one then the other",
	} {
		h.Send(alice, room, body)
	}
	for term, want := range map[string]string{
		"hello":          "Hello, World!",
		"WORLD hello":    "Hello, World!",
		"hello mars":     "",
		"marti":          "the martians are coming",
		"artians":        "",
		"creme brulee":   "Crème brûlée and Straße",
		"BRÛLÉE":         "Crème brûlée and Straße",
		"strasse":        "Crème brûlée and Straße",
		"example.org":    "meet me at https://example.org/path",
		"path":           "meet me at https://example.org/path",
		"天气":             "今天天气很好",
		"气天":             "",
		"今":              "今天天气很好",
		"好":              "今天天气很好",
		"今天 很好":          "今天天气很好",
		`"天气很"`:          "今天天气很好",
		"елка":           "Привет, Ёлка",
		"o'neil":         "it's O'Neil's \\ file",
		`the one`:        "first the one then the other",
		`"the one"`:      "first the one then the other",
		`"one the"`:      "",
		`"the othe"`:     "",
		`the othe`:       "first the one then the other",
		`"hello world`:   "Hello, World!",
		"?!":             "",
		"' & | ! <-> :*": "",
		`\`:              "",
	} {
		got := strings.Join(h.find(alice, term), "|")
		if got != want {
			t.Errorf("%q finds %q, want %q", term, got, want)
		}
	}
}

func TestFindsPartsOfTextsWithoutSpaces(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, body := range []string{
		"東京都に住んでいます", "京都の寺", "ﾗｰﾒﾝを食べたい", "학교에서 만나요", "서울대학교", "ฉันกินข้าว", "ข้าวกัน", "use Go言語 today", "ＡＢＣ社の資料",
	} {
		h.Send(alice, room, body)
	}
	for term, want := range map[string]string{
		"東京":                             "東京都に住んでいます",
		"京都":                             "京都の寺|東京都に住んでいます",
		"都":                              "京都の寺|東京都に住んでいます",
		"住んでいます":                         "東京都に住んでいます",
		"寺京":                             "",
		"ラーメン":                           "ﾗｰﾒﾝを食べたい",
		"ー":                              "ﾗｰﾒﾝを食べたい",
		"학교":                             "서울대학교|학교에서 만나요",
		"교":                              "서울대학교|학교에서 만나요",
		"대학":                             "서울대학교",
		"에서 만나":                          "학교에서 만나요",
		"\u1112\u1161\u11a8\u1100\u116d": "서울대학교|학교에서 만나요",
		"กิน":                            "ฉันกินข้าว",
		"ข้าว":                           "ข้าวกัน|ฉันกินข้าว",
		"go言語":                           "use Go言語 today",
		"言語 today":                       "use Go言語 today",
		`"言語 today"`:                     "use Go言語 today",
		`"use go言語"`:                     "use Go言語 today",
		"言語t":                            "use Go言語 today",
		"abc社":                           "ＡＢＣ社の資料",
		"社の資":                            "ＡＢＣ社の資料",
	} {
		if got := strings.Join(h.find(alice, term), "|"); got != want {
			t.Errorf("%q finds %q, want %q", term, got, want)
		}
	}
	r := h.search(alice, search.Criteria{Term: "ラーメン 食べ"})
	matrixtest.Equal(t, "highlights", r.Highlights, []string{"ﾗｰﾒﾝ", "食べ"})
	r = h.search(alice, search.Criteria{Term: `"use go言"`})
	matrixtest.Equal(t, "highlights of a phrase", r.Highlights, []string{"use", "go言"})
}

// An edit is found by its new text, and the message that was edited by what it said.
func TestEditsAreFoundByTheirNewText(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	id := h.Send(alice, room, "the old word")
	edit := h.SendEvent(alice, room, "m.room.message", `{"msgtype":"m.text","body":" * fallback",
		"m.new_content":{"msgtype":"m.text","body":"the new word"},"m.relates_to":{"rel_type":"m.replace","event_id":"`+id+`"}}`)
	bare := h.SendEvent(alice, room, "m.room.message", `{"msgtype":"m.text","body":"bare","m.new_content":{},"m.relates_to":{"rel_type":"m.replace","event_id":"`+id+`"}}`)
	found := func(term string) (ids []string) {
		for _, r := range h.search(alice, search.Criteria{Term: term, Order: search.OrderRecent}).Results {
			ids = append(ids, r.Event.ID)
		}
		return ids
	}
	matrixtest.Equal(t, "by both", found("word"), []string{edit, id})
	matrixtest.Equal(t, "by the new text", found("new"), []string{edit})
	matrixtest.Equal(t, "by the old text", found("old"), []string{id})
	matrixtest.Equal(t, "by the fallback", found("fallback"), nil)
	matrixtest.Equal(t, "without new text", found("bare"), []string{bare})
	h.Redact(alice, room, edit, "")
	matrixtest.Equal(t, "by the text of a redacted edit", found("new"), nil)
}

// TestFindsWhatIsIndexedInSeveralParts indexes in one step what is too much to be written
// at once.
func TestFindsWhatIsIndexedInSeveralParts(t *testing.T) {
	t.Parallel()
	before := roomstest.Open(t, roomstest.Options{})
	before.Run()
	room := before.Public()
	var words strings.Builder
	for n := range 9000 {
		fmt.Fprintf(&words, "w%05d ", n)
	}
	var want []string
	for n := range 30 {
		before.Send(alice, room, fmt.Sprintf("%s unique%02d", words.String(), n))
		want = append(want, fmt.Sprintf("unique%02d", n))
	}
	h := envOn(t, before.Pool)
	for _, word := range want {
		if found := h.find(alice, word); len(found) == 0 {
			t.Errorf("%q is not found", word)
		}
	}
}

func TestWholeWordsRankHigher(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, body := range []string{"the cat sat", "a category", "cats and cat and cat", "dog"} {
		h.Send(alice, room, body)
	}
	r := h.search(alice, search.Criteria{Term: "cat"})
	matrixtest.Equal(t, "by rank", texts(r), []string{"cats and cat and cat", "the cat sat", "a category"})
	for i, result := range r.Results {
		if result.Rank <= 0 || i > 0 && result.Rank > r.Results[i-1].Rank {
			t.Errorf("rank %d is %v", i, result.Rank)
		}
	}
	matrixtest.Equal(t, "recent", h.find(alice, "cat"), []string{"cats and cat and cat", "a category", "the cat sat"})
	slices.Sort(r.Highlights)
	matrixtest.Equal(t, "highlights", r.Highlights, []string{"cat", "category", "cats"})
}

func TestFindsNamesAndTopics(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.set(room, "m.room.name", "", `{"name":"Garden party"}`)
	h.set(room, "m.room.topic", "", `{"topic":"where the garden is","m.topic":{"m.text":[{"body":"plain rose"},{"body":"<b>html</b>","mimetype":"text/html"}]}}`)
	h.set(room, "m.room.name", "x", `{"name":"garden of something else"}`)
	h.set(room, "org.example", "", `{"body":"garden","name":"garden"}`)
	h.SendEvent(alice, room, "org.example", `{"body":"garden"}`)
	h.SendEvent(alice, room, "m.room.message", `{"body":7}`)
	h.Send(alice, room, "garden")
	all := []string{"garden", "where the garden is", "Garden party"}
	matrixtest.Equal(t, "everywhere", h.find(alice, "garden"), all)
	matrixtest.Equal(t, "in the block", h.find(alice, "rose"), []string{"where the garden is"})
	matrixtest.Equal(t, "in HTML", h.find(alice, "html"), []string{})
	for keys, want := range map[string][]string{
		"content.body": all[:1], "content.name": all[2:], "content.topic": all[1:2], "content.topic content.name": all[1:],
	} {
		r := h.search(alice, search.Criteria{Term: "garden", Order: search.OrderRecent, Keys: strings.Fields(keys)})
		matrixtest.Equal(t, keys, texts(r), want)
	}
	r := h.search(alice, search.Criteria{Term: "garden", Keys: []string{}})
	matrixtest.Equal(t, "nowhere", texts(r), []string{})
}

func TestFindsOnlyWhatMayBeRead(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Send(alice, room, "word before")
	h.Join(bob, room)
	h.Send(alice, room, "word while bob was here")
	h.Leave(bob, room)
	h.Send(alice, room, "word after")
	matrixtest.Equal(t, "a member", h.find(alice, "word"), []string{"word after", "word while bob was here", "word before"})
	matrixtest.Equal(t, "who has left", h.find(bob, "word"), []string{"word while bob was here", "word before"})
	matrixtest.Equal(t, "a stranger", h.find(carol, "word"), []string{})
	h.set(room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	h.Send(alice, room, "word in secret")
	h.Join(bob, room)
	h.Send(alice, room, "word again")
	matrixtest.Equal(t, "who has come back", h.find(bob, "word"), []string{"word again", "word after", "word while bob was here", "word before"})
	h.Leave(bob, room)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	matrixtest.Equal(t, "who has forgotten", h.find(bob, "word"), []string{})
	private, err := h.Rooms.Create(t.Context(), alice, rooms.CreateRequest{Invite: []string{carol}})
	h.OK(err)
	h.Send(alice, private.RoomID, "word for the invited")
	matrixtest.Equal(t, "who is invited", h.find(carol, "word"), []string{})
}

func TestEncryptedRoomsAreLeftOut(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
	h.Send(alice, room, "word one")
	h.Send(alice, other, "word two")
	h.set(room, "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`)
	matrixtest.Equal(t, "found", h.find(alice, "word"), []string{"word two"})
}

func TestRedactedIsNotFound(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.Send(bob, room, "a secret word")
	early := h.Send(bob, room, "another secret word")
	name := h.set(room, "m.room.name", "", `{"name":"secret name"}`)
	redact := func(id string) {
		t.Helper()
		_, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: room}, id, "")
		h.OK(err)
	}
	redact(early) // maybe before it was indexed
	matrixtest.Equal(t, "before", h.find(alice, "secret"), []string{"secret name", "a secret word"})
	redact(id)
	redact(name)
	matrixtest.Equal(t, "after", h.find(alice, "secret"), []string{})
	var left int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM search_index`).Scan(&left))
	if left != 0 {
		t.Errorf("%d rows are left of what was redacted", left)
	}
}

func TestIgnoredPeopleAreNotFound(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "word of alice")
	h.Send(bob, room, "word of bob")
	h.ignored[bob] = true
	matrixtest.Equal(t, "alice", h.find(alice, "word"), []string{"word of alice"})
	matrixtest.Equal(t, "bob", h.find(bob, "word"), []string{"word of bob", "word of alice"})
}

func TestFilters(t *testing.T) {
	h := newEnv(t)
	one, two := h.Public(bob), h.Public()
	h.Send(alice, one, "word 1")
	h.Send(bob, one, "word 2")
	h.Send(alice, two, "word 3")
	h.set(two, "m.room.name", "", `{"name":"word 4"}`)
	h.SendEvent(alice, two, "m.room.message", `{"msgtype":"m.image","body":"word 5","url":"mxc://localhost/x"}`)
	list := func(s ...string) *[]string { return &s }
	yes, no, limit, none := true, false, 2, 0
	for name, test := range map[string]struct {
		f    timeline.EventFilter
		want string
	}{
		"rooms":        {timeline.EventFilter{Rooms: list(one)}, "2 1"},
		"no rooms":     {timeline.EventFilter{Rooms: list()}, ""},
		"not rooms":    {timeline.EventFilter{NotRooms: []string{one}}, "5 4 3"},
		"senders":      {timeline.EventFilter{Senders: list(bob)}, "2"},
		"not senders":  {timeline.EventFilter{NotSenders: []string{alice}}, "2"},
		"types":        {timeline.EventFilter{Types: list("m.room.na*")}, "4"},
		"not types":    {timeline.EventFilter{NotTypes: []string{"m.room.message"}}, "4"},
		"with url":     {timeline.EventFilter{ContainsURL: &yes}, "5"},
		"without url":  {timeline.EventFilter{ContainsURL: &no}, "4 3 2 1"},
		"limit":        {timeline.EventFilter{Limit: &limit}, "5 4"},
		"limit 0":      {timeline.EventFilter{Limit: &none}, ""},
		"lazy members": {timeline.EventFilter{LazyLoadMembers: true}, "5 4 3 2 1"},
		"several":      {timeline.EventFilter{Rooms: list(two), Senders: list(alice), NotTypes: []string{"m.room.name"}}, "5 3"},
	} {
		r := h.search(alice, search.Criteria{Term: "word", Order: search.OrderRecent, Filter: &test.f})
		got := strings.ReplaceAll(strings.Join(texts(r), " "), "word ", "")
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestPaging(t *testing.T) {
	h := newEnv(t)
	one, two := h.Public(), h.Public()
	for i := range 11 {
		h.Send(alice, []string{one, two}[i%2], strings.Repeat("word ", 1+i%3)+fmt.Sprint(i))
	}
	for _, order := range []string{search.OrderRank, search.OrderRecent} {
		limit := 100
		whole := texts(h.search(alice, search.Criteria{Term: "word", Order: order, Filter: &timeline.EventFilter{Limit: &limit}}))
		for limit = 1; limit < 13; limit++ {
			var all []string
			c := search.Criteria{Term: "word", Order: order, Filter: &timeline.EventFilter{Limit: &limit}}
			for {
				r := h.search(alice, c)
				if r.Count != 11 || len(r.Results) > limit {
					t.Errorf("%s by %d: %d results of %d", order, limit, len(r.Results), r.Count)
				}
				all = append(all, texts(r)...)
				if c.NextBatch = r.NextBatch; c.NextBatch == "" {
					break
				}
			}
			matrixtest.Equal(t, fmt.Sprint(order, " by ", limit), all, whole)
		}
	}
	if r := h.search(alice, search.Criteria{Term: "word"}); len(r.Results) != 10 || r.NextBatch == "" {
		t.Errorf("without a limit: %d results", len(r.Results))
	}
}

func TestRefusals(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.numbered(alice, room, "word", 3)
	limit, negative := 1, -1
	recent := h.search(alice, search.Criteria{Term: "word", Order: search.OrderRecent, Filter: &timeline.EventFilter{Limit: &limit}}).NextBatch
	for name, test := range map[string]struct {
		c    search.Criteria
		code matrix.Code
	}{
		"no term":            {search.Criteria{}, matrix.MissingParam},
		"long term":          {search.Criteria{Term: strings.Repeat("a", 1001)}, matrix.InvalidParam},
		"no text":            {search.Criteria{Term: "\xff"}, matrix.InvalidParam},
		"key":                {search.Criteria{Term: "a", Keys: []string{"content.x"}}, matrix.InvalidParam},
		"order":              {search.Criteria{Term: "a", Order: "random"}, matrix.InvalidParam},
		"group":              {search.Criteria{Term: "a", GroupBy: []string{"type"}}, matrix.InvalidParam},
		"token":              {search.Criteria{Term: "a", NextBatch: "x"}, matrix.InvalidParam},
		"token of nothing":   {search.Criteria{Term: "a", NextBatch: "e30"}, matrix.InvalidParam},
		"token, other order": {search.Criteria{Term: "a", NextBatch: recent}, matrix.InvalidParam},
		"filter":             {search.Criteria{Term: "a", Filter: &timeline.EventFilter{Limit: &negative}}, matrix.InvalidParam},
		"context":            {search.Criteria{Term: "word", Context: &search.Context{Before: &negative}}, matrix.InvalidParam},
	} {
		_, err := h.Search(t.Context(), alice, test.c)
		matrixtest.WantCode(t, err, test.code, name)
	}
	long := h.search(alice, search.Criteria{Term: strings.Repeat("a", 1000)})
	if len(long.Results) != 0 || long.Results == nil || long.Highlights == nil {
		t.Errorf("a long term: %+v", long)
	}
}

func TestGroups(t *testing.T) {
	h := newEnv(t)
	one, two := h.Public(bob), h.Public()
	for i := range 4 {
		h.Send(alice, one, fmt.Sprint("word a", i))
		h.Send(bob, one, fmt.Sprint("word b", i))
		h.Send(alice, two, fmt.Sprint("word c", i))
	}
	limit := 4
	c := search.Criteria{
		Term: "word", Order: search.OrderRecent, GroupBy: []string{search.GroupRoom, search.GroupSender},
		Filter: &timeline.EventFilter{Limit: &limit},
	}
	r := h.search(alice, c) // c3 b3 a3 c2
	if len(r.Groups) != 2 || len(r.Groups["room_id"]) != 2 || len(r.Groups["sender"]) != 2 {
		t.Fatalf("got %+v", r.Groups)
	}
	ids := func(places ...int) (list []string) {
		for _, i := range places {
			list = append(list, r.Results[i].Event.ID)
		}
		return list
	}
	matrixtest.Equal(t, "room one", r.Groups["room_id"][one].EventIDs, ids(1, 2))
	matrixtest.Equal(t, "room two", r.Groups["room_id"][two].EventIDs, ids(0, 3))
	matrixtest.Equal(t, "bob", r.Groups["sender"][bob].EventIDs, ids(1))
	if r.Groups["room_id"][two].Order != 1 || r.Groups["room_id"][one].Order != 2 {
		t.Error("the groups are not in order")
	}
	follow := func(key, value string, want ...string) {
		t.Helper()
		next := c
		got := []string{}
		for next.NextBatch = r.Groups[key][value].NextBatch; next.NextBatch != ""; {
			page := h.search(alice, next)
			got = append(got, texts(page)...)
			if g := page.Groups[key]; len(g) != 1 || g[value] == nil || g[value].NextBatch != page.NextBatch {
				t.Errorf("page of %s %s: groups %+v", key, value, g)
			}
			next.NextBatch = page.NextBatch
		}
		matrixtest.Equal(t, key+" "+value, got, want)
	}
	follow("room_id", two, "word c1", "word c0")
	follow("room_id", one, "word b2", "word a2", "word b1", "word a1", "word b0", "word a0")
	follow("sender", bob, "word b2", "word b1", "word b0")
	limit = 13
	r = h.search(alice, c)
	for key, groups := range r.Groups {
		for value, g := range groups {
			if g.NextBatch != "" {
				t.Errorf("%s %s has more after the last page", key, value)
			}
		}
	}
}

func TestNextBatchOnlyWhereThereIsMore(t *testing.T) {
	h := newEnv(t)
	one, two := h.Public(bob), h.Public()
	for i := range 2 {
		h.Send(alice, one, fmt.Sprint("word ", i))
		h.Send(bob, one, fmt.Sprint("word ", i))
	}
	for i := range 4 {
		h.Send(alice, two, fmt.Sprint("word ", i))
	}
	for _, order := range []string{search.OrderRank, search.OrderRecent} {
		for limit := 1; limit < 10; limit++ {
			c := search.Criteria{
				Term: "word", Order: order, Filter: &timeline.EventFilter{Limit: &limit}, GroupBy: []string{search.GroupRoom, search.GroupSender},
			}
			left := map[string]int{one: 4, two: 4, alice: 6, bob: 2}
			for found := 0; found < 8; {
				r := h.search(alice, c)
				if len(r.Results) == 0 || r.Count != 8 {
					t.Fatalf("%s by %d: an empty page, or %d in all", order, limit, r.Count)
				}
				found += len(r.Results)
				if more := found < 8; (r.NextBatch != "") != more {
					t.Errorf("%s by %d: next_batch %q, and there is more: %v", order, limit, r.NextBatch, more)
				}
				for _, groups := range r.Groups {
					for value, g := range groups {
						left[value] -= len(g.EventIDs)
						if more := left[value] > 0; (g.NextBatch != "") != more {
							t.Errorf("%s by %d: next_batch %q of %s, and there is more: %v", order, limit, g.NextBatch, value, more)
						}
					}
				}
				c.NextBatch = r.NextBatch
			}
		}
	}
}

func TestSearchWaitsForTheIndex(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for i := range 30 {
		h.Send(alice, room, fmt.Sprint("word number", i))
		if got := h.find(alice, fmt.Sprint("number", i)); len(got) == 0 || got[0] != fmt.Sprint("word number", i) {
			t.Fatalf("message %d is not found: %q", i, got)
		}
	}
}
