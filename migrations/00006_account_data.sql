-- +goose Up

-- What users keep for themselves; room_nid 0 stands for no room.
CREATE TABLE account_data (
    user_id  text NOT NULL,
    room_nid bigint NOT NULL,
    type     text NOT NULL,
    content  bytea NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (user_id, room_nid, type)
);
CREATE INDEX account_data_changes ON account_data (user_id, position);
