-- Uploaded files, how much each user has uploaded, and previews of links.
-- Owned by internal/media. Times are milliseconds since the epoch.

-- +goose Up
CREATE TABLE media (
    media_id     text   PRIMARY KEY,
    -- NULL: the server fetched it itself, for a preview.
    user_id      text   REFERENCES accounts (user_id),
    created_at   bigint NOT NULL,
    -- Until when the content must have come; NULL once it has.
    expires_at   bigint,
    -- SHA-256 of the content, which names the file; NULL: it has not come yet.
    hash         bytea,
    bytes        bigint,
    content_type text,
    -- As the uploader named it; NULL: no name.
    filename     text,
    CHECK ((hash IS NULL) = (expires_at IS NOT NULL)),
    CHECK ((hash IS NULL) = (bytes IS NULL))
);

CREATE INDEX media_hash ON media (hash) WHERE hash IS NOT NULL;
CREATE INDEX media_awaited ON media (user_id, expires_at) WHERE hash IS NULL;

-- What counts towards a user's quota. The row is also the lock under which the
-- user's files are counted.
CREATE TABLE media_usage (
    user_id text   PRIMARY KEY REFERENCES accounts (user_id),
    bytes   bigint NOT NULL
);

CREATE TABLE url_previews (
    url        text   PRIMARY KEY,
    expires_at bigint NOT NULL,
    -- The answer to clients, JSON.
    answer     text   NOT NULL
);

CREATE INDEX url_previews_expiry ON url_previews (expires_at);
