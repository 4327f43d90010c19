-- What a session of interactive authentication may be completed by, for the pages
-- that complete one of its stages without the request that it is about.
-- Owned by internal/auth.

-- +goose Up
ALTER TABLE interactive_sessions
    -- A list of flows, each a list of stages.
    ADD COLUMN flows jsonb NOT NULL DEFAULT '[]';
