-- +goose Up

-- What a redacted event was related to: the redacted form does not say it, but what is unread is counted by threads.
-- NULL where it was related to nothing, and for events that are not redacted, whose content has it. Owned by
-- internal/rooms.
ALTER TABLE events ADD COLUMN relation_type text, ADD COLUMN relation_event_id text;
