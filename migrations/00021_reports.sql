-- What users have reported to the operator. Owned by internal/reports.

-- +goose Up
CREATE TABLE reports (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reporter    text   NOT NULL,
    -- Of a room and of an event; else NULL.
    room_id     text,
    -- Of an event; else NULL.
    event_id    text,
    -- The user who is reported, or who has sent the event; of a room NULL.
    user_id     text,
    reason      text   NOT NULL,
    -- How offensive an event is, from -100 (most) to 0; NULL: not said.
    score       integer CHECK (score BETWEEN -100 AND 0),
    -- Milliseconds since the epoch.
    received_at bigint NOT NULL
);

CREATE INDEX reports_reporter ON reports (reporter, id);
