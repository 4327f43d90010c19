-- What a session of interactive authentication is about, for who completes a stage of
-- it on a page. Owned by internal/auth.

-- +goose Up
ALTER TABLE interactive_sessions
    -- What the request would do, in words for people; '': no page says so.
    ADD COLUMN effect text NOT NULL DEFAULT '',
    -- Of the parameters of the request, keyed by the session's ID.
    ADD COLUMN parameters_mac bytea NOT NULL DEFAULT '',
    -- Whether a stage was completed on a page: then the request must be the same.
    ADD COLUMN by_page boolean NOT NULL DEFAULT false;
