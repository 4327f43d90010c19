-- +goose Up

-- Messages that wait for devices. Owned by internal/e2ee/todevice. There is no foreign key to devices: whoever writes
-- these rows must not wait for somebody who removes a device. Rows of a device that is gone are deleted with it; one
-- that slipped in meanwhile belongs to no other device, since device_created_at is that of the one it was meant for.
CREATE TABLE to_device (
    user_id           text   NOT NULL,
    device_id         text   NOT NULL,
    position          bigint NOT NULL,
    device_created_at bigint NOT NULL,
    sender            text   NOT NULL,
    type              text   NOT NULL,
    content           bytea  NOT NULL, -- a JSON object
    PRIMARY KEY (user_id, device_id, position)
);
CREATE INDEX to_device_position ON to_device (position);

-- The requests that devices have sent lately, so that a repeated one does nothing.
CREATE TABLE to_device_transactions (
    user_id   text   NOT NULL,
    device_id text   NOT NULL,
    type      text   NOT NULL,
    txn_id    text   NOT NULL,
    sent_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, device_id, type, txn_id)
);
CREATE INDEX to_device_transactions_sent_at ON to_device_transactions (sent_at);
