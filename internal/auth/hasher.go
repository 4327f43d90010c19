package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/crypto/argon2"

	"homeserver/internal/auth/secret"
	"homeserver/internal/gauge"
	"homeserver/internal/matrix"
)

const (
	// hashersAtOnce bounds the memory and the cores for passwords, and strangersAtOnce
	// the part of it for addresses from which nobody has logged in yet.
	hashersAtOnce   = 2
	strangersAtOnce = 1
	// maxWaitingHashers bounds the queue in front of them, and maxWaitingStrangers the
	// part of it for strangers.
	maxWaitingHashers   = 100
	maxWaitingStrangers = 75
	// maxHashersEach is how many passwords of one caller may be on their way, and
	// maxHashersOfNetwork those of a wider network: the addresses of one attacker are
	// in the same one.
	maxHashersEach      = 10
	maxHashersOfNetwork = 25

	saltBytes = 16
	keyBytes  = 32

	// The highest cost of a stored hash. One that would cost more was not made here,
	// and computing it would use up the memory or the time of all.
	maxArgonMemoryKiB = 256 << 10
	maxArgonPasses    = 16
	maxArgonThreads   = 16
	maxArgonBytes     = 128 // of salt and key, each
)

// ArgonParams is the cost of one argon2id hash, RFC 9106, section 3.1. Hashes keep
// the parameters that they were made with; after a change, a password is hashed
// anew at the next login with it.
type ArgonParams struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// DefaultArgonParams costs 19 MiB and two passes on one core.
func DefaultArgonParams() ArgonParams {
	return ArgonParams{MemoryKiB: 19 * 1024, Passes: 2, Threads: 1}
}

// hasher makes and checks password hashes, few at a time. Callers take turns, and those
// who were here before have places that strangers cannot take.
type hasher struct {
	params    ArgonParams
	nobody    string // a hash that no password has
	familiar  *familiar
	all       *gauge.Gauge // running and waiting
	strangers *gauge.Gauge // those of them who are not familiar
	networks  *gauge.Gauge // those on their way from each wider network
}

// newHasher makes a hasher that remembers so many bytes of familiar addresses; 0:
// [cache.UsualShare].
func newHasher(params ArgonParams, familiarBytes int) *hasher {
	if params == (ArgonParams{}) {
		params = DefaultArgonParams()
	}
	return &hasher{
		params:   params,
		nobody:   encodePHC(params, secret.Bytes(saltBytes), secret.Bytes(keyBytes)),
		familiar: newFamiliar(familiarBytes),
		all:      gauge.New(gauge.Options{Total: hashersAtOnce, Waiting: maxWaitingHashers, EachWaiting: maxHashersEach}),
		strangers: gauge.New(gauge.Options{
			Total: strangersAtOnce, Waiting: maxWaitingStrangers, EachWaiting: maxHashersEach,
		}),
		networks: gauge.New(gauge.Options{Total: maxWaitingHashers + hashersAtOnce, Each: maxHashersOfNetwork}),
	}
}

// hash makes the PHC string of a password. It waits for its turn; M_LIMIT_EXCEEDED, or
// 503 M_UNKNOWN, where too many wait already.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := secret.Bytes(saltBytes)
	key, err := h.derive(ctx, h.params, password, salt, keyBytes)
	if err != nil {
		return "", err
	}
	return encodePHC(h.params, salt, key), nil
}

// verify reports whether the password has the hash. With an empty hash it needs the
// time of a check and returns false.
func (h *hasher) verify(ctx context.Context, password, phc string) (bool, error) {
	known := phc != ""
	if !known {
		phc = h.nobody
	}
	params, salt, want, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	got, err := h.derive(ctx, params, password, salt, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// outdated reports whether a hash was made with other parameters than today's.
func (h *hasher) outdated(phc string) bool {
	params, _, _, err := parsePHC(phc)
	return err != nil || params != h.params
}

func (h *hasher) derive(ctx context.Context, p ArgonParams, password string, salt []byte, size uint32) ([]byte, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return argon2.IDKey([]byte(password), salt, p.Passes, p.MemoryKiB, p.Threads, size), nil
}

// enter waits for a place to hash in, and returns the function that frees it.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	caller := matrix.Caller(ctx)
	network := widerNetwork(caller)
	if err := h.networks.TryEnter(network, 1); err != nil {
		return nil, err
	}
	leave = func() { h.networks.Leave(network, 1) }
	if !h.familiar.knows(caller) {
		if _, err := h.strangers.Enter(ctx, caller, 1); err != nil {
			leave()
			return nil, err
		}
		first := leave
		leave = func() {
			h.strangers.Leave(caller, 1)
			first()
		}
	}
	if _, err := h.all.Enter(ctx, caller, 1); err != nil {
		leave()
		return nil, err
	}
	first := leave
	return func() {
		h.all.Leave(caller, 1)
		first()
	}, nil
}

// widerNetwork returns the network by which callers without a name are counted
// together: the /24 of an IPv4 address, the /48 of an IPv6 one. A user is counted
// alone.
func widerNetwork(caller string) string {
	text, _, _ := strings.Cut(caller, "/")
	address, err := netip.ParseAddr(text)
	if err != nil {
		return caller
	}
	bits := 48
	if address.Is4() {
		bits = 24
	}
	network, err := address.Prefix(bits)
	if err != nil {
		return caller
	}
	return network.String()
}

// encodePHC writes a hash in the PHC string format.
func encodePHC(p ArgonParams, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.MemoryKiB, p.Passes, p.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// errHash is the error for a value in the database that is no hash of ours. It does not
// contain the hash, which is a secret.
var errHash = errors.New("a stored password hash is not argon2id in the PHC string format")

// errCostlyHash says that a stored hash would cost more than any that is made here.
var errCostlyHash = errors.New("a stored password hash costs more memory or time than is allowed")

// parsePHC parses a text that encodePHC has written.
func parsePHC(phc string) (p ArgonParams, salt, key []byte, err error) {
	var version int
	var encoded string
	n, err := fmt.Sscanf(phc, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &p.MemoryKiB, &p.Passes, &p.Threads, &encoded)
	if err != nil || n != 5 || version != argon2.Version || p.Passes == 0 || p.Threads == 0 {
		return ArgonParams{}, nil, nil, errHash
	}
	saltText, keyText, _ := strings.Cut(encoded, "$")
	salt, saltErr := base64.RawStdEncoding.DecodeString(saltText)
	key, keyErr := base64.RawStdEncoding.DecodeString(keyText)
	if saltErr != nil || keyErr != nil || len(salt) == 0 || len(key) < 16 {
		return ArgonParams{}, nil, nil, errHash
	}
	if p.MemoryKiB > maxArgonMemoryKiB || p.Passes > maxArgonPasses || p.Threads > maxArgonThreads || max(len(salt), len(key)) > maxArgonBytes {
		return ArgonParams{}, nil, nil, errCostlyHash
	}
	return p, salt, key, nil
}
