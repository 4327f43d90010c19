-- Devices that nobody is logged in to, and that others send keys to, one of a user. Owned by internal/e2ee/devicekeys.

-- +goose Up
CREATE TABLE dehydrated_devices (
    user_id     text  PRIMARY KEY,
    device_id   text  NOT NULL,
    -- JSON: its private keys, which a client has encrypted.
    device_data bytea NOT NULL,
    FOREIGN KEY (user_id, device_id) REFERENCES devices ON DELETE CASCADE
);
