-- Tokens by which services of others ask who a user is; only hashes are kept.
-- Owned by internal/auth. Times are milliseconds since the epoch.

-- +goose Up
CREATE TABLE openid_tokens (
    token_hash bytea  PRIMARY KEY,
    user_id    text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    expires_at bigint NOT NULL
);

CREATE INDEX openid_tokens_user ON openid_tokens (user_id, expires_at);
CREATE INDEX openid_tokens_expiry ON openid_tokens (expires_at);
