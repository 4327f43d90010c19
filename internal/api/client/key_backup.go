package client

import (
	"context"

	"homeserver/internal/e2ee/keybackup"
	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

type backupVersionAnswer struct {
	Version string `json:"version"`
}

// postBackup makes a backup. Section "Server-side key backups",
// POST /room_keys/version.
func (a *api) postBackup(r *httpapi.Request, who matrix.Session) (any, error) {
	var body keybackup.BackupRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	version, err := a.KeyBackups.Create(r.Context(), who.UserID, body)
	return backupVersionAnswer{version}, err
}

// getNewestBackup describes the newest backup. GET /room_keys/version.
func (a *api) getNewestBackup(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.KeyBackups.Newest(r.Context(), who.UserID)
}

// getBackup describes a backup. GET /room_keys/version/{version}.
func (a *api) getBackup(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.KeyBackups.Backup(r.Context(), who.UserID, r.Param("version"))
}

// putBackup replaces the auth_data of a backup. PUT /room_keys/version/{version}.
func (a *api) putBackup(r *httpapi.Request, who matrix.Session) (any, error) {
	var body keybackup.BackupRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.KeyBackups.Update(r.Context(), who.UserID, r.Param("version"), body)
}

// deleteBackup deletes a backup with its keys. DELETE /room_keys/version/{version}.
func (a *api) deleteBackup(r *httpapi.Request, who matrix.Session) (any, error) {
	return httpapi.Empty{}, a.KeyBackups.Delete(r.Context(), who.UserID, r.Param("version"))
}

// backupVersion returns the version that a request about keys is for: M_MISSING_PARAM.
func backupVersion(r *httpapi.Request) (string, error) {
	if version := r.Query("version"); version != "" {
		return version, nil
	}
	return "", matrix.Errorf(matrix.MissingParam, "version is missing in the query")
}

type putRoomKeysRequest struct {
	Rooms map[string]keybackup.RoomRequest `json:"rooms"`
}

// putRoomKeys adds keys to the newest backup. PUT /room_keys/keys.
func (a *api) putRoomKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	var body putRoomKeysRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.storeRoomKeys(r, who, body.Rooms)
}

// putKeysOfRoom adds keys of one room to the newest backup. PUT
// /room_keys/keys/{roomId}.
func (a *api) putKeysOfRoom(r *httpapi.Request, who matrix.Session) (any, error) {
	var body keybackup.RoomRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.storeRoomKeys(r, who, map[string]keybackup.RoomRequest{r.Param("roomId"): body})
}

// putRoomKey adds a key to the newest backup. PUT /room_keys/keys/{roomId}/{sessionId}.
func (a *api) putRoomKey(r *httpapi.Request, who matrix.Session) (any, error) {
	var body keybackup.KeyRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	sessions := map[string]keybackup.KeyRequest{r.Param("sessionId"): body}
	return a.storeRoomKeys(r, who, map[string]keybackup.RoomRequest{r.Param("roomId"): {Sessions: sessions}})
}

func (a *api) storeRoomKeys(r *httpapi.Request, who matrix.Session, rooms map[string]keybackup.RoomRequest) (any, error) {
	version, err := backupVersion(r)
	if err != nil {
		return nil, err
	}
	return a.KeyBackups.PutKeys(r.Context(), who.UserID, version, rooms)
}

// getRoomKeys reads a backup: all of it, or the keys of one room. GET /room_keys/keys and GET
// /room_keys/keys/{roomId}.
func (a *api) getRoomKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	version, err := backupVersion(r)
	if err != nil {
		return nil, err
	}
	keys, err := a.KeyBackups.Keys(r.Context(), who.UserID, version, r.Param("roomId"))
	return roomKeysAnswer{keys, r.Param("roomId") != ""}, err
}

// getRoomKey reads a key of a backup. GET /room_keys/keys/{roomId}/{sessionId}.
func (a *api) getRoomKey(r *httpapi.Request, who matrix.Session) (any, error) {
	version, err := backupVersion(r)
	if err != nil {
		return nil, err
	}
	return a.KeyBackups.Key(r.Context(), who.UserID, version, r.Param("roomId"), r.Param("sessionId"))
}

// deleteRoomKeys deletes keys of a backup: one, those of a room, or all. DELETE
// /room_keys/keys, DELETE /room_keys/keys/{roomId} and DELETE
// /room_keys/keys/{roomId}/{sessionId}.
func (a *api) deleteRoomKeys(r *httpapi.Request, who matrix.Session) (any, error) {
	version, err := backupVersion(r)
	if err != nil {
		return nil, err
	}
	return a.KeyBackups.DeleteKeys(r.Context(), who.UserID, version, r.Param("roomId"), r.Param("sessionId"))
}

// roomKeysAnswer is the keys of a backup, or of one room in it.
type roomKeysAnswer struct {
	keys *keybackup.List
	room bool
}

// WriteJSON writes the keys by their rooms and sessions.
func (k roomKeysAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	if k.room {
		w.B = append(w.B, `{"sessions":{`...)
	} else {
		w.B = append(w.B, `{"rooms":{`...)
	}
	lastRoom := ""
	for key, err := range k.keys.All(ctx) {
		if err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
		w.B = k.appendKey(w.B, key, lastRoom)
		lastRoom = key.RoomID
		if err := w.Pass(); err != nil {
			return err //nolint:wrapcheck // it is the connection's own
		}
	}
	if lastRoom != "" && !k.room {
		w.B = append(w.B, `}}`...)
	}
	w.B = append(w.B, `}}`...)
	return nil
}

// appendKey writes a key behind one of a room; "": it is the first.
func (k roomKeysAnswer) appendKey(dst []byte, key *keybackup.Key, lastRoom string) []byte {
	switch {
	case key.RoomID == lastRoom || k.room && lastRoom != "":
		dst = append(dst, ',')
	case !k.room:
		if lastRoom != "" {
			dst = append(dst, `}},`...)
		}
		dst = append(event.AppendString(dst, key.RoomID), `:{"sessions":{`...)
	}
	return key.AppendJSON(append(event.AppendString(dst, key.SessionID), ':'))
}
