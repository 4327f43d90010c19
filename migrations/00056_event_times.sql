-- +goose Up

-- When the sender's server says that it made an event, so that events are found by time. Those that were here before
-- have NULL: it stands in their JSON, from which the index takes it when it is made, so that the table need not be
-- written anew. They are all of this server, in which a later member of that name can only be inside of another.
-- Owned by internal/rooms/timeline.
ALTER TABLE events ADD COLUMN origin_server_ts bigint;

-- +goose StatementBegin
CREATE FUNCTION origin_server_ts_in(json bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substring(encode(json, 'escape') FROM '^.*"origin_server_ts":([0-9]{1,18})')::bigint
$$;
-- +goose StatementEnd

CREATE INDEX events_time ON events (room_nid, (coalesce(origin_server_ts, origin_server_ts_in(json))));
