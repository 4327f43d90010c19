package config

import (
	"iter"
	"reflect"
)

// RateLimits bounds how often callers may do things. Unless stated otherwise a caller
// is the user, or the address of a request without an access token. The keys are the
// kinds of work of internal/httpapi/ratelimit.
type RateLimits struct {
	// Enabled switches all of them.
	Enabled bool `yaml:"enabled"`

	// Requests are those of any kind.
	Requests Rate `yaml:"requests"`
	// Messages are events sent into rooms, other than those below.
	Messages Rate `yaml:"messages"`
	// RoomCreation is making a room.
	RoomCreation Rate `yaml:"room_creation"`
	// Joins are joins and knocks.
	Joins Rate `yaml:"joins"`
	// Invites are invitations sent.
	Invites Rate `yaml:"invites"`
	// InvitesToUser are invitations that a user receives.
	InvitesToUser Rate `yaml:"invites_to_user"`
	// Profile is a change of a profile.
	Profile Rate `yaml:"profile"`
	// WrittenBytes are the bytes of events, and of the bodies of other changes.
	WrittenBytes Rate `yaml:"written_bytes"`
	// Changes are other writes, such as receipts, typing and account data.
	Changes Rate `yaml:"changes"`
	// Searches are searches for messages, people and rooms.
	Searches Rate `yaml:"searches"`

	// Login is a request that may bring a password or a login token.
	Login Rate `yaml:"login"`
	// FailedLogin is a wrong password for an account by one caller.
	FailedLogin Rate `yaml:"failed_login"`
	// FailedLoginAccount is a wrong password for an account, from any address that is new to it.
	FailedLoginAccount Rate `yaml:"failed_login_account"`
	// LoginTokens are tokens to log in another device.
	LoginTokens Rate `yaml:"login_tokens"`
	// Registration is a request to make an account.
	Registration Rate `yaml:"registration"`
	// NameChecks are questions whether a user name is free.
	NameChecks Rate `yaml:"name_checks"`
	// Mails are requests for a mail or a text message.
	Mails Rate `yaml:"mails"`
	// MailsToAddress are mails or text messages to one receiver.
	MailsToAddress Rate `yaml:"mails_to_address"`
	// Codes are codes from mails and text messages.
	Codes Rate `yaml:"codes"`
	// Reports are reports of content.
	Reports Rate `yaml:"reports"`

	// Uploads are files in the media repository.
	Uploads Rate `yaml:"uploads"`
	// Downloads are files and thumbnails taken from it.
	Downloads Rate `yaml:"downloads"`
	// Thumbnails are milliseconds of making thumbnails.
	Thumbnails Rate `yaml:"thumbnails"`
	// Previews are previews of web pages.
	Previews Rate `yaml:"previews"`
}

// Rate is a token bucket.
type Rate struct {
	// PerSecond is how many attempts come back each second.
	PerSecond float64 `yaml:"per_second"`
	// Burst is how many attempts may be made at once.
	Burst int `yaml:"burst"`
}

// defaultRateLimits allow people and their clients, bots and tests to work at their
// usual speed, and stop programs that go on like that for minutes.
func defaultRateLimits() RateLimits {
	return RateLimits{
		Enabled:            true,
		Requests:           Rate{PerSecond: 200, Burst: 5000},
		Messages:           Rate{PerSecond: 10, Burst: 1000},
		RoomCreation:       Rate{PerSecond: 0.5, Burst: 200},
		Joins:              Rate{PerSecond: 1, Burst: 500},
		Invites:            Rate{PerSecond: 1, Burst: 500},
		InvitesToUser:      Rate{PerSecond: 0.5, Burst: 200},
		Profile:            Rate{PerSecond: 1, Burst: 100},
		WrittenBytes:       Rate{PerSecond: 500_000, Burst: 20_000_000},
		Changes:            Rate{PerSecond: 20, Burst: 1000},
		Searches:           Rate{PerSecond: 5, Burst: 200},
		Login:              Rate{PerSecond: 1, Burst: 100},
		FailedLogin:        Rate{PerSecond: 0.1, Burst: 10},
		FailedLoginAccount: Rate{PerSecond: 0.2, Burst: 300},
		LoginTokens:        Rate{PerSecond: 0.1, Burst: 10},
		Registration:       Rate{PerSecond: 0.2, Burst: 100},
		NameChecks:         Rate{PerSecond: 5, Burst: 100},
		Mails:              Rate{PerSecond: 0.05, Burst: 20},
		MailsToAddress:     Rate{PerSecond: 0.002, Burst: 5},
		Codes:              Rate{PerSecond: 1, Burst: 20},
		Reports:            Rate{PerSecond: 0.2, Burst: 20},
		Uploads:            Rate{PerSecond: 5, Burst: 200},
		Downloads:          Rate{PerSecond: 50, Burst: 2000},
		Thumbnails:         Rate{PerSecond: 250, Burst: 30_000},
		Previews:           Rate{PerSecond: 2, Burst: 100},
	}
}

// All returns each rate with its key.
func (r RateLimits) All() iter.Seq2[string, Rate] {
	return func(yield func(string, Rate) bool) {
		v := reflect.ValueOf(r)
		for i := range v.NumField() {
			rate, ok := reflect.TypeAssert[Rate](v.Field(i))
			if ok && !yield(v.Type().Field(i).Tag.Get("yaml"), rate) {
				return
			}
		}
	}
}
