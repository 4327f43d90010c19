package threepid

import (
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/net/idna"
	"golang.org/x/text/cases"

	"homeserver/internal/matrix"
)

// The media of addresses. Appendices, "3PID Types".
const (
	Email = "email"
	Phone = "msisdn"
)

// maxEmailBytes is the longest address that fits into a mail's envelope, RFC 5321,
// section 4.5.3.1.3.
const maxEmailBytes = 254

// Address is a third-party identifier in canonical form.
type Address struct {
	Medium string `json:"medium"`
	// Address is a case-folded e-mail address, or the digits of a phone number with
	// its country code and no plus sign.
	Address string `json:"address"`
}

// Canonical returns the canonical form of an address that claims to be in it already,
// as old clients do with text that people typed. M_INVALID_PARAM for anything else, and
// for other media.
func Canonical(medium, address string) (Address, error) {
	switch medium {
	case Email:
		return CanonicalEmail(address)
	case Phone:
		return CanonicalPhone("", "+"+strings.TrimPrefix(address, "+"))
	default:
		return Address{}, matrix.Errorf(matrix.InvalidParam, "medium must be email or msisdn")
	}
}

// CanonicalEmail folds the case of an e-mail address. M_INVALID_PARAM for a text that
// is none, such as one with a name beside it, and for one whose mails go to a machine
// by its IP address, which need not be on the internet. Appendices, "E-Mail".
func CanonicalEmail(address string) (Address, error) {
	address = strings.TrimSpace(address)
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Name != "" || parsed.Address != address || !utf8.ValidString(address) {
		return Address{}, errEmail()
	}
	folded := cases.Fold().String(address)
	// Folding may make characters that the parser has not seen.
	again, err := mail.ParseAddress(folded)
	if err != nil || again.Address != folded || len(folded) > maxEmailBytes || strings.ContainsAny(folded, " \"\t\x00") {
		return Address{}, errEmail()
	}
	a := Address{Email, folded}
	if !isDomain(a.domain()) {
		return Address{}, errEmail()
	}
	return a, nil
}

// isDomain reports whether the part behind the at sign is a name, and no address
// literal, with brackets or without: no top-level domain begins with a digit, RFC 3696,
// section 2. Other scripts have digits and full stops of their own, which mail servers
// treat as these.
func isDomain(domain string) bool {
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return false
	}
	ascii = strings.TrimSuffix(ascii, ".")
	top := ascii[strings.LastIndexByte(ascii, '.')+1:]
	return top != "" && (top[0] < '0' || top[0] > '9')
}

func errEmail() *matrix.Error {
	return matrix.Errorf(matrix.InvalidParam, "This is not an e-mail address")
}

// CanonicalPhone makes a phone number of the digits that are dialled in a country, a
// two-letter ISO 3166-1 code; with a plus sign in front it may be "". M_INVALID_PARAM
// for a number that can't exist. Only a message can show whether anybody has it.
// Appendices, "PSTN Phone numbers".
func CanonicalPhone(country, number string) (Address, error) {
	parsed, err := phonenumbers.Parse(number, strings.ToUpper(country))
	if err != nil || !phonenumbers.IsPossibleNumber(parsed) {
		return Address{}, errPhone()
	}
	written := phonenumbers.Format(parsed, phonenumbers.E164)
	// A number that is none may be another one when it is read again, as in some
	// countries leading zeros come and go.
	again, err := phonenumbers.Parse(written, "")
	if err != nil || phonenumbers.Format(again, phonenumbers.E164) != written {
		return Address{}, errPhone()
	}
	return Address{Phone, strings.TrimPrefix(written, "+")}, nil
}

func errPhone() *matrix.Error {
	return matrix.Errorf(matrix.InvalidParam, "This is not a phone number of that country")
}

// domain returns the part behind the at sign of an e-mail address.
func (a Address) domain() string {
	return a.Address[strings.LastIndexByte(a.Address, '@')+1:]
}

// country returns the ISO 3166-1 code of a phone number's country; "" where it has none,
// such as a satellite phone.
func (a Address) country() string {
	parsed, err := phonenumbers.Parse("+"+a.Address, "")
	if err != nil {
		return ""
	}
	if region := phonenumbers.GetRegionCodeForNumber(parsed); region != "" {
		return region
	}
	// It is in no range that the library knows of.
	return phonenumbers.GetRegionCodeForCountryCode(int(parsed.GetCountryCode()))
}
