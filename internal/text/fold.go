package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxWordRunes is how much of a word counts; more than this is no word that
// people write, and PostgreSQL has a limit, too.
const maxWordRunes = 128

// letters are those that Unicode does not take apart, but people do.
var letters = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ð", "d")

// Fold returns the form of a text to compare with other folded texts: without case,
// accents and compatibility forms.
func Fold(text string) string {
	if isPlain(text) {
		return strings.ToLower(text)
	}
	text = cases.Fold().String(norm.NFKD.String(strings.ToValidUTF8(text, "\ufffd")))
	// Folding may make characters that have a decomposition again.
	text = norm.NFKD.String(text)
	return letters.Replace(strings.Map(withoutMarks, text))
}

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

func withoutMarks(r rune) rune {
	if unicode.Is(unicode.Mn, r) {
		return -1
	}
	return r
}

// Word is a word of a text.
type Word struct {
	// Text is the word as it is in the text.
	Text string
	// Folded is its form for comparing; it is not empty.
	Folded string
	// Adjoins reports that there is nothing between the word and the one before it, as
	// in scripts that are written without spaces.
	Adjoins bool
}

// Words parts a text into words. Of a very long word only the beginning counts.
func Words(text string) []Word {
	var words []Word
	for _, run := range strings.FieldsFunc(text, isSeparator) {
		words = appendRun(words, run)
	}
	return words
}

// Folded returns the folded words of a text, each with one space before it.
func Folded(text string) string {
	var b strings.Builder
	for _, w := range Words(text) {
		b.WriteByte(' ')
		b.WriteString(w.Folded)
	}
	return b.String()
}

func isSeparator(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.So, r)
}

// unparted are the scripts that do not put spaces between words, and pictures.
var unparted = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.So,
}

// appendRun splits a run without separators where the script changes from or to one
// without spaces between words, and at each character of those.
func appendRun(words []Word, run string) []Word {
	start, first := 0, true
	end := func(at int) {
		if w, ok := newWord(run[start:at]); ok {
			w.Adjoins = !first
			words, first = append(words, w), false
		}
		start = at
	}
	single := false
	for i, r := range run {
		if unicode.IsMark(r) {
			continue // belongs to the character before it
		}
		if alone := unicode.In(r, unparted...); alone || single {
			end(i)
			single = alone
		}
	}
	end(len(run))
	return words
}

func newWord(text string) (Word, bool) {
	folded := strings.ReplaceAll(Fold(text), " ", "")
	count := 0
	for i := range folded {
		if count++; count > maxWordRunes {
			folded = folded[:i]
			break
		}
	}
	return Word{Text: text, Folded: folded}, folded != ""
}
