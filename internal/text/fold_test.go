package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":              "",
		"Hello, World!": "hello, world!",
		"Élodie":        "elodie",
		"E\u0301lodie":  "elodie",
		"STRASSE":       "strasse",
		"Straße":        "strasse",
		"ΌΣΟΣ":          "οσοσ",
		"όσος":          "οσοσ",
		"Ёлка":          "елка",
		"İstanbul":      "istanbul",
		"ısı":           "isi",
		"Øresund Łódź":  "oresund lodz",
		"Æsir":          "aesir",
		"ｆｕｌｌ ＷＩＤＴＨ":    "full width",
		"ﬁne":           "fine",
		"日本語":           "日本語",
		"กินข้าว":       "กินข้าว",
		"नमस्ते":        "नमस्ते",
		"שָׁלוֹם":       "שלום",
		"ﾊﾝｶｸ":          "ハンカク",
		"x\xff":         "x\ufffd",
	} {
		if got := Fold(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                     "",
		" \t\n.,;!?'\"()[]{}-_\\/":             "",
		"Hello, World!":                        "hello world",
		"don't stop":                           "don t stop",
		"https://example.org/a_b?":             "https example org a b",
		"3.14 x2":                              "3 14 x2",
		"Café-Bar":                             "cafe bar",
		"日本 語a b":                              "日+本 語+a b",
		"go日go":                                "go+日+go",
		"ไทย":                                  "ไ+ท+ย",
		"กิน":                                  "กิ+น",
		"한국어 abc":                              "한+국+어 abc",
		"\u1112\u1161\u11ab\u1100\u116e\u11a8": "한+국",
		"ラーメン":                                 "ラ+ー+メ+ン",
		"ﾗｰﾒﾝ":                                 "ラ+ー+メ+ン",
		"ﾊﾞｽ":                                  "ハ+ス",
		"Ｗｉｄｅ１２":                               "wide12",
		"नमस्ते दुनिया":                        "",
		"👍👍 ok":                                "👍+👍 ok",
	} {
		var b strings.Builder
		for _, w := range Words(text) {
			if b.Len() > 0 {
				b.WriteString(map[bool]string{true: "+", false: " "}[w.Adjoins])
			}
			b.WriteString(w.Folded)
		}
		if got := b.String(); got != want && want != "" || want == "" && strings.HasPrefix(text, " ") && got != "" {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if n := len(Words("नमस्ते दुनिया")); n != 2 {
		t.Errorf("Devanagari: %d words, want 2", n)
	}
	if got := Folded("Ada  Lovelace"); got != " ada lovelace" {
		t.Errorf("Folded: %q", got)
	}
}

func TestWordsKeepHowTheyWereWritten(t *testing.T) {
	t.Parallel()
	want := []Word{
		{Text: "Café", Folded: "cafe"}, {Text: "日", Folded: "日", IsCharacter: true}, {Text: "本", Folded: "本", Adjoins: true, IsCharacter: true},
	}
	if diff := cmp.Diff(want, Words("Café 日本")); diff != "" {
		t.Error(diff)
	}
}

func TestLongWordIsCut(t *testing.T) {
	t.Parallel()
	words := Words(strings.Repeat("ä", 100_000) + " next")
	if len(words) != 2 || words[0].Folded != strings.Repeat("a", maxWordRunes) {
		t.Errorf("%d words, the first of %d bytes", len(words), len(words[0].Folded))
	}
}

func FuzzFold(f *testing.F) {
	for _, seed := range []string{"", "Hello", "ß", "日本", "é", "㈱", "½", "ﷺ", "'\\", "\xff\x00", "ϓ", "ΐ", "ᾳ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		folded := Fold(text)
		if again := Fold(folded); again != folded {
			t.Errorf("%q folds to %q, and that to %q", text, folded, again)
		}
		if utf8.ValidString(text) != utf8.ValidString(folded) && utf8.ValidString(text) {
			t.Errorf("%q folds to what is no UTF-8: %q", text, folded)
		}
		for _, w := range Words(text) {
			if w.Folded == "" || strings.Contains(w.Folded, " ") || !strings.Contains(text, w.Text) {
				t.Errorf("%q has the word %+v", text, w)
			}
		}
	})
}
