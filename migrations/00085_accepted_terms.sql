-- Which versions of the operator's documents users have accepted when they registered. Owned by internal/auth/terms.
-- Times are milliseconds since the epoch.

-- +goose Up
CREATE TABLE accepted_terms (
    user_id     text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    document    text   NOT NULL,
    version     text   NOT NULL,
    accepted_at bigint NOT NULL,
    PRIMARY KEY (user_id, document, version)
);
