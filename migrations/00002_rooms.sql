-- +goose Up

CREATE SEQUENCE room_nids;

-- head_event_id is the event that the next one is built on. A writer states the
-- head that it built on, and its transaction fails if that has moved.
CREATE TABLE rooms (
    room_nid        bigint PRIMARY KEY,
    room_id         text NOT NULL UNIQUE,
    version         text NOT NULL,
    head_event_id   text NOT NULL,
    depth           bigint NOT NULL,
    joined_members  bigint NOT NULL,
    invited_members bigint NOT NULL,
    listed          boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE INDEX rooms_listed ON rooms (room_nid) WHERE listed;

-- json holds the exact bytes of the event as it would be federated; once it is
-- redacted, the redacted bytes. replaces is the position of the state event that
-- this one replaced, redacted_by that of the redaction.
CREATE TABLE events (
    position    bigint PRIMARY KEY,
    room_nid    bigint NOT NULL,
    event_id    text NOT NULL UNIQUE,
    type        text NOT NULL,
    state_key   text,
    sender      text NOT NULL,
    json        bytea NOT NULL,
    has_url     boolean NOT NULL,
    redacts     text,
    replaces    bigint,
    redacted_by bigint,
    device_id   text,
    txn_id      text
);
CREATE INDEX events_room ON events (room_nid, position);
CREATE UNIQUE INDEX events_transaction
    ON events (sender, device_id, txn_id, room_nid, type, (coalesce(redacts, '')))
    WHERE txn_id IS NOT NULL;

-- State as intervals: an entry holds from its position until just before
-- replaced_at. value is what is searched: the membership of m.room.member, the
-- visibility of m.room.history_visibility.
CREATE TABLE room_state (
    room_nid    bigint NOT NULL,
    type        text NOT NULL,
    state_key   text NOT NULL,
    position    bigint NOT NULL,
    replaced_at bigint,
    value       text,
    PRIMARY KEY (room_nid, type, state_key, position)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX room_state_current ON room_state (room_nid, type, state_key) WHERE replaced_at IS NULL;
CREATE INDEX room_state_replaced ON room_state (room_nid, replaced_at) WHERE replaced_at IS NOT NULL;
CREATE INDEX room_state_changes ON room_state (room_nid, position);
CREATE INDEX room_state_of_user ON room_state (state_key, position) WHERE type = 'm.room.member';
CREATE INDEX room_state_members ON room_state (room_nid, value, position)
    WHERE type = 'm.room.member' AND replaced_at IS NULL;

CREATE TABLE room_aliases (
    alias      text PRIMARY KEY,
    room_nid   bigint NOT NULL REFERENCES rooms,
    creator    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX room_aliases_room ON room_aliases (room_nid);

-- Rooms that a user has left and wants to hear of no more, until joining again.
CREATE TABLE forgotten_rooms (
    user_id  text NOT NULL,
    room_nid bigint NOT NULL REFERENCES rooms,
    position bigint NOT NULL,
    PRIMARY KEY (user_id, room_nid)
);
