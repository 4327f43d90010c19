-- +goose Up

-- How far users have read. thread_id is '' for a receipt that is not of a thread.
-- event_position is where the event stands, position the receipt itself.
CREATE TABLE receipts (
    room_nid       bigint NOT NULL,
    user_id        text NOT NULL,
    type           text NOT NULL,
    thread_id      text NOT NULL,
    event_id       text NOT NULL,
    event_position bigint NOT NULL,
    ts             bigint NOT NULL,
    position       bigint NOT NULL,
    PRIMARY KEY (room_nid, user_id, type, thread_id)
);
CREATE INDEX receipts_changes ON receipts (room_nid, position);
CREATE INDEX receipts_user ON receipts (user_id, room_nid);
