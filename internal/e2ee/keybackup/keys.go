package keybackup

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// Limits of keys.
const (
	// MaxBatch is how many keys one request may bring.
	MaxBatch = 10_000
	// MaxKeys and MaxBytes bound what a user keeps in all backups together, of which
	// besideData counts for each key beside its session_data.
	MaxKeys    = 1_000_000
	MaxBytes   = 1 << 30
	besideData = 200

	// maxSessionIDBytes bounds the ID of a session, which has 43.
	maxSessionIDBytes = 255
	// maxNumber bounds first_message_index and forwarded_count, as it does all integers of
	// canonical JSON.
	maxNumber = 1<<53 - 1
)

// KeyRequest is a key of a session as clients send it: client-server API, "KeyBackupData".
// Nil is what was not sent.
type KeyRequest struct {
	FirstMessageIndex *int64          `json:"first_message_index"`
	ForwardedCount    *int64          `json:"forwarded_count"`
	IsVerified        *bool           `json:"is_verified"`
	SessionData       json.RawMessage `json:"session_data"`
}

// RoomRequest are the keys of a room as clients send them: client-server API,
// "RoomKeyBackup". Nil is what was not sent.
type RoomRequest struct {
	Sessions map[string]KeyRequest `json:"sessions"`
}

// Key is the key of a session. It does not change.
type Key struct {
	RoomID, SessionID string
	FirstMessageIndex int64
	ForwardedCount    int64
	IsVerified        bool
	SessionData       json.RawMessage // a JSON object
}

// AppendJSON writes the key as clients see it: client-server API, "KeyBackupData".
func (k *Key) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"first_message_index":`...)
	dst = strconv.AppendInt(dst, k.FirstMessageIndex, 10)
	dst = append(dst, `,"forwarded_count":`...)
	dst = strconv.AppendInt(dst, k.ForwardedCount, 10)
	dst = append(dst, `,"is_verified":`...)
	dst = strconv.AppendBool(dst, k.IsVerified)
	dst = append(dst, `,"session_data":`...)
	return append(append(dst, k.SessionData...), '}')
}

// betterThan reports whether the key replaces another one for the same session: a verified
// key is better than one that is not; then a key that decrypts more of the session; then
// one that has come over fewer devices.
func (k *Key) betterThan(other *Key) bool {
	if k.IsVerified != other.IsVerified {
		return k.IsVerified
	}
	return cmp.Or(
		cmp.Compare(k.FirstMessageIndex, other.FirstMessageIndex),
		cmp.Compare(k.ForwardedCount, other.ForwardedCount),
	) < 0
}

// bytes is what the key counts for the bound of its user.
func (k *Key) bytes() int64 { return int64(len(k.SessionData)) + besideData }

// State is what clients learn of the keys of a backup when they change them:
// client-server API, "RoomKeysUpdateResponse".
type State struct {
	Count int64  `json:"count"`
	ETag  string `json:"etag"`
}

// PutKeys adds keys to a backup, each of which replaces the one that there is for its
// session if it is better. M_NOT_FOUND for a user without a backup;
// M_WRONG_ROOM_KEYS_VERSION with current_version for a version that is not that of the
// newest one; M_MISSING_PARAM, M_INVALID_PARAM and M_BAD_JSON for keys that cannot be;
// M_TOO_LARGE for too many of them, in one request or in all, and for session_data of more
// than 64 KiB. Client-server API, PUT /room_keys/keys.
func (s *Service) PutKeys(ctx context.Context, userID, version string, rooms map[string]RoomRequest) (state State, err error) {
	keys, bytes, err := collect(rooms)
	if err != nil {
		return State{}, err
	}
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		// The keys as they are here, and once more on the way to the database.
		if err := c.Add(2 * int(bytes)); err != nil {
			return err
		}
		state, err = s.storeKeys(ctx, userID, version, keys)
		return err
	})
	return state, err
}

// collect checks the keys of a request and returns them in order, and the bytes that they
// count for.
func collect(rooms map[string]RoomRequest) (keys []*Key, bytes int64, err error) {
	if rooms == nil {
		return nil, 0, matrix.Errorf(matrix.MissingParam, "rooms is missing")
	}
	for _, roomID := range slices.Sorted(maps.Keys(rooms)) {
		sessions := rooms[roomID].Sessions
		switch {
		case !matrix.IsRoomID(roomID):
			return nil, 0, matrix.Errorf(matrix.InvalidParam, "a key must be for a room, by its ID")
		case sessions == nil:
			return nil, 0, matrix.Errorf(matrix.MissingParam, "sessions is missing")
		case len(keys)+len(sessions) > MaxBatch:
			return nil, 0, matrix.Errorf(matrix.TooLarge, "one request may bring %d keys", MaxBatch)
		}
		for _, sessionID := range slices.Sorted(maps.Keys(sessions)) {
			key, err := sessions[sessionID].key(roomID, sessionID)
			if err != nil {
				return nil, 0, err
			}
			keys = append(keys, key)
			bytes += key.bytes()
		}
	}
	return keys, bytes, nil
}

// key checks a key.
func (q KeyRequest) key(roomID, sessionID string) (*Key, error) {
	if sessionID == "" || len(sessionID) > maxSessionIDBytes || !matrix.IsText(sessionID) {
		return nil, matrix.Errorf(matrix.InvalidParam, "the ID of a session has 1 to %d bytes", maxSessionIDBytes)
	}
	if q.FirstMessageIndex == nil || q.ForwardedCount == nil || q.IsVerified == nil || matrix.IsNull(q.SessionData) {
		return nil, matrix.Errorf(matrix.MissingParam, "a key needs first_message_index, forwarded_count, is_verified and session_data")
	}
	if !isCount(*q.FirstMessageIndex) || !isCount(*q.ForwardedCount) {
		return nil, matrix.Errorf(matrix.InvalidParam, "first_message_index and forwarded_count must be from 0 to 2^53-1")
	}
	data, err := object("session_data", q.SessionData)
	if err != nil {
		return nil, err
	}
	return &Key{roomID, sessionID, *q.FirstMessageIndex, *q.ForwardedCount, *q.IsVerified, data}, nil
}

func isCount(n int64) bool { return n >= 0 && n <= maxNumber }

// choose returns those of the keys that are stored, since there is none for their session or
// a worse one, how many of them are new, and by how many bytes they are more than what they
// replace. Both lists are in order.
func choose(keys []*Key, there []stored) (better []*Key, added int64, bytes int64) {
	for _, k := range keys {
		for len(there) > 0 && there[0].before(k) {
			there = there[1:]
		}
		isNew := len(there) == 0 || !there[0].isFor(k)
		switch {
		case isNew:
			added++
		case k.betterThan(&there[0].Key):
			bytes -= there[0].size
		default:
			continue
		}
		better = append(better, k)
		bytes += k.bytes()
	}
	return better, added, bytes
}

// Key returns the key of a session in a backup; M_NOT_FOUND where there is no such key, or
// no such backup. Client-server API, GET /room_keys/keys/{roomId}/{sessionId}.
func (s *Service) Key(ctx context.Context, userID, version, roomID, sessionID string) (*Key, error) {
	backup, err := s.Backup(ctx, userID, version)
	if err != nil {
		return nil, err
	}
	key, err := s.findKey(ctx, backup.id, roomID, sessionID)
	if err == nil && key == nil {
		err = matrix.Errorf(matrix.NotFound, "there is no key of this session in the backup")
	}
	return key, err
}

// DeleteKeys deletes keys of a backup: that of a session; without a session, those of a
// room; without a room, all. To delete what is not there is fine. M_NOT_FOUND where there is no such
// backup. Client-server API, DELETE /room_keys/keys.
func (s *Service) DeleteKeys(ctx context.Context, userID, version, roomID, sessionID string) (State, error) {
	number, err := parseVersion(version)
	if err != nil {
		return State{}, err
	}
	return s.deleteKeys(ctx, userID, number, roomID, sessionID)
}

// isSound reports whether a key that was read can be shown.
func (k *Key) isSound() bool {
	return len(k.SessionData) > 0 && k.SessionData[0] == '{' && event.IsJSON(k.SessionData)
}
