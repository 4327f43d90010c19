-- +goose Up

-- The filters that users have stored. The same definition is stored once.
CREATE TABLE filters (
    user_id    text NOT NULL,
    filter_id  bigint NOT NULL,
    definition bytea NOT NULL,
    hash       bytea NOT NULL,
    PRIMARY KEY (user_id, filter_id),
    UNIQUE (user_id, hash)
);
