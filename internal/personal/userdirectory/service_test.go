package userdirectory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// env is the harness with the directory of users.
type env struct {
	*roomstest.Env
	*userdirectory.Service
	open string // a public room of the first user's
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	h := &env{Env: roomstest.Open(t, roomstest.Options{})}
	h.Profiles.OnChange(h.Rooms.UpdateProfile)
	h.Users.OnDeactivate(h.Rooms.LeaveAll)
	h.Service = userdirectory.New(h.Pool, h.Journal, h.Rooms.Timeline, h.Profiles)
	h.Run()
	h.Start(t.Context())
	t.Cleanup(h.Stop)
	return h
}

// user makes an account with a display name, "" for none, in the public room.
func (h *env) user(name, displayName string) string {
	h.T.Helper()
	userID, err := h.Users.CreateAccount(h.T.Context(), auth.NewAccount{Username: name})
	h.OK(err)
	if displayName != "" {
		h.name(userID, displayName)
	}
	if h.open == "" {
		h.open = h.Create(userID, rooms.CreateRequest{Preset: "public_chat"})
		return userID
	}
	h.OK(h.Rooms.Join(h.T.Context(), userID, h.open, ""))
	return userID
}

func (h *env) name(userID, displayName string) {
	h.T.Helper()
	h.OK(h.Profiles.Set(h.T.Context(), matrix.Session{UserID: userID}, userID, profile.DisplayName, fmt.Appendf(nil, "%q", displayName)))
}

// finds returns the names of those whom a user finds, in order.
func (h *env) finds(asker, term string) []string {
	h.T.Helper()
	most := 50
	found, err := h.Search(h.T.Context(), asker, term, &most)
	h.OK(err)
	names := []string{}
	for _, u := range found.Results {
		name, _, _ := strings.Cut(u.UserID[1:], ":")
		names = append(names, name)
	}
	return names
}

func (h *env) wantFinds(asker, term string, want ...string) {
	h.T.Helper()
	if got := h.finds(asker, term); !slices.Equal(got, want) {
		h.T.Errorf("%s finds %q by %q, want %q", asker, got, term, want)
	}
}

func TestFindsByNameAndID(t *testing.T) {
	h := newEnv(t)
	asker := h.user("asker", "")
	h.user("ada", "Ada Lovelace")
	h.user("zz1", "Élodie Øster")
	h.user("zz2", "Straßenbahn")
	h.user("zz3", "日本 太郎")
	h.user("zz5", "홍길동")
	h.user("zz6", "ชอบกินข้าว")
	h.user("grace_hopper", "")
	h.user("zz4", `100% _real_ \o/`)
	for term, want := range map[string]string{
		"ada": "ada", "ADA": "ada", "love": "ada", "lovelace ada": "ada", "ada l": "ada", "ada x": "",
		"太": "zz3", "郎太": "", "日本太": "", "本 太": "zz3", "velac": "ada", "홍길": "zz5", "길동": "zz5", "ก": "zz6", "กัน": "", "กิน": "zz6",
		"elodie": "zz1", "É": "zz1 ada grace_hopper zz2 zz4", "oster": "zz1", "STRASSEN": "zz2", "太郎": "zz3", "郎": "zz3",
		"hopper": "grace_hopper", "grace_hopper": "grace_hopper", "@grace": "grace_hopper", "@grace_hopper:localhost": "grace_hopper",
		"@GRACE_hopper:loc": "grace_hopper", "@grace_hopper:elsewhere": "", "@ada:": "ada", "localhost": "", "%": "", "_": "", `\`: "",
		"100%": "zz4", "real": "zz4", "": "", "  ": "", "nobody": "",
	} {
		got := strings.Join(h.finds(asker, term), " ")
		if term == "É" { // only that there are some, and the best is first
			got, want = got[:3], want[:3]
			if got == "ask" {
				got = want
			}
		}
		if got != want {
			t.Errorf("%q finds %q, want %q", term, got, want)
		}
	}
}

func TestFindsAUserIDWithoutItsSigil(t *testing.T) {
	h := newEnv(t)
	asker := h.user("asker", "")
	h.user("ada", "")
	h.user("adam", "")
	h.user("zz1", "Team: Ada")
	h.wantFinds(asker, "ada:localhost", "ada")
	h.wantFinds(asker, "ADA:local", "ada")
	h.wantFinds(asker, "adam:", "adam")
	h.wantFinds(asker, "ada:elsewhere")
	h.wantFinds(asker, "team:", "zz1")
	h.wantFinds(asker, "team: ada", "zz1")
	h.wantFinds(asker, "@team: ada")
}

func TestFindsWordsAcrossApostrophesAndDots(t *testing.T) {
	h := newEnv(t)
	asker := h.user("asker", "")
	h.user("zz1", "Conan O'Brien")
	h.user("zz2", "Sinéad O’Connor")
	h.user("zz3", "J.R.R. Tolkien")
	h.user("john.smith", "")
	h.user("zz4", "Obriental")
	for term, want := range map[string]string{
		"obrien": "zz4 zz1", "o'brien": "zz1 zz4", "o’brien": "zz1 zz4", "brien": "zz1 zz4", "OConnor": "zz2", "sinead oconnor": "zz2",
		"jrr": "zz3", "jrr tolkien": "zz3", "J.R.R. Tol": "zz3", "johnsmith": "john.smith", "john.smith": "john.smith", "smith": "john.smith",
		"ano": "", "conanobrien": "",
	} {
		if got := strings.Join(h.finds(asker, term), " "); got != want {
			t.Errorf("%q finds %q, want %q", term, got, want)
		}
	}
}

func TestBestComeFirst(t *testing.T) {
	h := newEnv(t)
	asker := h.user("asker", "")
	h.user("m1", "Xbobby")
	h.user("m2", "Little Bobby")
	h.user("bobolink", "")
	h.user("m3", "Bobby Tables")
	h.user("bob", "")
	h.user("m4", "Bob")
	h.wantFinds(asker, "bob", "m4", "bob", "m3", "bobolink", "m2", "m1")
}

func TestFindsOnlyPeopleWhomOneMayKnowOf(t *testing.T) {
	h := newEnv(t)
	alice, bob := h.user("alice", "Find Alice"), h.user("bob", "Find Bob")
	ctx := t.Context()
	h.OK(h.Rooms.Leave(ctx, bob, h.open, ""))
	carol, err := h.Users.CreateAccount(ctx, auth.NewAccount{Username: "carol"})
	h.OK(err)
	h.name(carol, "Find Carol")
	h.wantFinds(bob, "find", "alice") // who is in a public room, as bob is no more
	private := h.Create(carol, rooms.CreateRequest{Invite: []string{bob}})
	h.wantFinds(bob, "find", "alice") // invited is not joined
	h.OK(h.Rooms.Join(ctx, bob, private, ""))
	h.wantFinds(bob, "find", "alice", "carol")
	h.wantFinds(carol, "find", "alice", "bob")
	h.wantFinds(alice, "find", "alice")
	h.OK(h.Rooms.Leave(ctx, bob, private, ""))
	h.wantFinds(carol, "find", "alice")
}

func TestFollowsTheProfile(t *testing.T) {
	h := newEnv(t)
	alice, bob := h.user("alice", ""), h.user("bob", "")
	for i := range 10 {
		name := fmt.Sprint("Name", i, "x")
		h.name(bob, name)
		h.wantFinds(alice, name, "bob")
	}
	h.wantFinds(alice, "Name0x")
	h.OK(h.Profiles.Set(t.Context(), matrix.Session{UserID: bob}, bob, profile.AvatarURL, []byte(`"mxc://localhost/b"`)))
	found, err := h.Search(t.Context(), alice, "bob", nil)
	h.OK(err)
	want := &userdirectory.Found{Results: []userdirectory.User{{UserID: bob, DisplayName: "Name9x", AvatarURL: "mxc://localhost/b"}}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	h.OK(h.Profiles.Delete(t.Context(), matrix.Session{UserID: bob}, bob, profile.DisplayName))
	h.wantFinds(alice, "Name9x")
	h.wantFinds(alice, "bob", "bob")
}

func TestDeactivatedPeopleAreFoundByNobody(t *testing.T) {
	h := newEnv(t)
	alice, bob := h.user("alice", ""), h.user("bob", "Bob")
	h.wantFinds(alice, "bob", "bob")
	h.OK(h.Rooms.LeaveAll(t.Context(), bob))
	h.wantFinds(alice, "bob")
}

func TestLimits(t *testing.T) {
	h := newEnv(t)
	asker := h.user("asker", "")
	for i := range 60 {
		h.user(fmt.Sprintf("many%02d", i), "")
	}
	limit := func(n int) *int { return &n }
	for _, test := range []struct {
		term    string
		limit   *int
		want    int
		limited bool
	}{
		{"many", nil, 10, true}, {"many", limit(3), 3, true}, {"many", limit(1000), 50, true}, {"many", limit(0), 0, true},
		{"many0", nil, 10, false}, {"many0", limit(9), 9, true}, {"many01", limit(1), 1, false}, {"none", nil, 0, false},
	} {
		found, err := h.Search(t.Context(), asker, test.term, test.limit)
		h.OK(err)
		if len(found.Results) != test.want || found.Limited != test.limited || found.Results == nil {
			t.Errorf("%+v: %d results, limited %v", test, len(found.Results), found.Limited)
		}
	}
	_, err := h.Search(t.Context(), asker, "many", limit(-1))
	if !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("a negative limit: %v", err)
	}
	if _, err := h.Search(t.Context(), asker, strings.Repeat("a", 256), nil); !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("a long term: %v", err)
	}
	if got := h.finds(asker, strings.Repeat("a ", 127)); len(got) != 50 { // of many words only the first count
		t.Errorf("many words: %d results", len(got))
	}
}

// Entries of an older version of the server had Korean names in the parts of their letters,
// and Thai names without vowels.
func TestEntriesOfOlderVersionsAreMadeAnew(t *testing.T) {
	h := newEnv(t)
	asker := h.user("asker", "")
	h.user("zz1", "ชอบกิน")
	h.wantFinds(asker, "กิน", "zz1")
	_, err := h.Pool.Exec(t.Context(), `UPDATE user_directory SET name = 'ชอบกน', words = ' ช อ บ ก น zz1', is_old = true WHERE localpart = 'zz1'`)
	h.OK(err)
	other := userdirectory.New(h.Pool, h.Journal, h.Rooms.Timeline, h.Profiles)
	h.Stop()
	other.Start(t.Context())
	t.Cleanup(other.Stop)
	h.Service = other
	h.Send(asker, h.open, "so that there is something to follow")
	h.wantFinds(asker, "กิน", "zz1")
	var old int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM user_directory WHERE is_old`).Scan(&old))
	if old != 0 {
		t.Errorf("%d entries are still old", old)
	}
}
