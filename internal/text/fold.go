package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxWordRunes is how much of a word counts; more than this is no word that
// people write, and PostgreSQL has a limit, too.
const maxWordRunes = 128

// letters are those that Unicode does not take apart, but people do.
var letters = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ð", "d")

// Fold returns the form of a text to compare with other folded texts: without case,
// accents and compatibility forms. Signs for vowels, as the scripts of India and Thailand
// write them, are no accents.
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

// accented are the scripts in which marks make no other letter: of those that any script
// may have, and of the scripts whose vowels people may leave out.
var accented = []*unicode.RangeTable{
	unicode.Inherited, unicode.Common, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana,
}

func withoutMarks(r rune) rune {
	if unicode.Is(unicode.Mn, r) && unicode.In(r, accented...) {
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
	// IsCharacter reports that it is one character of a script in which words have no
	// spaces between them, or no fixed form, as in Korean, and not a whole word.
	IsCharacter bool
}

// Words parts a text into words. Of a very long word only the beginning counts.
func Words(text string) []Word {
	runs := strings.FieldsFunc(text, isSeparator)
	words := make([]Word, 0, len(runs))
	for _, run := range runs {
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
	if r < utf8.RuneSelf {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	}
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.So, r)
}

// unparted are the scripts that do not put spaces between words, and that of Korean, in
// which what is searched for begins and ends within words. The marks that repeat or lengthen
// a kana are of no script.
var unparted = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
	unicode.Tai_Le, unicode.New_Tai_Lue, unicode.Tai_Tham, unicode.Tai_Viet, unicode.Javanese,
	{R16: []unicode.Range16{{Lo: 0x3006, Hi: 0x3006, Stride: 1}, {Lo: 0x30fc, Hi: 0x30fc, Stride: 1}, {Lo: 0xff70, Hi: 0xff70, Stride: 1}}},
}

// kind is what a character is for the parting of words.
type kind int

const (
	ofWord    kind = iota
	character      // of a script in unparted
	picture        // a word by itself
)

func kindOf(r rune) kind {
	switch {
	case r < 0x80:
		return ofWord
	case unicode.Is(unicode.So, r):
		return picture
	case unicode.In(r, unparted...):
		return character
	default:
		return ofWord
	}
}

// appendRun splits a run without separators where the script changes from or to one
// without spaces between words, and at each character of those.
func appendRun(words []Word, run string) []Word {
	start, first, last := 0, true, ofWord
	end := func(at int) {
		if w, ok := newWord(run[start:at], last == character); ok {
			w.Adjoins = !first
			words, first = append(words, w), false
		}
		start = at
	}
	for i, r := range run {
		if unicode.IsMark(r) || i > 0 && isLaterJamo(r) {
			continue // belongs to the character before it
		}
		k := kindOf(r)
		if k != ofWord || last != ofWord {
			end(i)
		}
		last = k
	}
	end(len(run))
	return words
}

// isLaterJamo reports whether a character is a vowel or a final consonant of a Korean
// syllable that is written in parts.
func isLaterJamo(r rune) bool { return r >= 0x1160 && r <= 0x11ff || r >= 0xd7b0 && r <= 0xd7ff }

func newWord(text string, isCharacter bool) (Word, bool) {
	folded := strings.ReplaceAll(Fold(text), " ", "")
	if isCharacter {
		folded = norm.NFC.String(folded) // one character for a Korean syllable
	}
	count := 0
	for i := range folded {
		if count++; count > maxWordRunes {
			folded = folded[:i]
			break
		}
	}
	return Word{Text: text, Folded: folded, IsCharacter: isCharacter}, folded != ""
}
