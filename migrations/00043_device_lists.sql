-- +goose Up

-- Where the device list of a user has changed last. Owned by internal/e2ee/devicekeys.
CREATE TABLE device_lists (
    user_id  text   PRIMARY KEY,
    position bigint NOT NULL
);
CREATE INDEX device_lists_position ON device_lists (position);
