-- What the clients of sliding sync know. Owned by internal/syncstream.

-- +goose Up

-- A connection of a device has its last two versions: what the client knows by the answers that have the version in their
-- pos. state is compact, see knownRooms. A client whose rows are gone begins anew.
CREATE TABLE sliding_sync_connections (
    user_id   text NOT NULL,
    device_id text NOT NULL,
    conn_id   text NOT NULL,
    version   bigint NOT NULL,
    state     bytea NOT NULL,
    used_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, device_id, conn_id, version)
);
CREATE INDEX sliding_sync_connections_used ON sliding_sync_connections (used_at);
