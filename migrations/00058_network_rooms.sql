-- The rooms that application services have published in the directories of third-party networks. Owned by
-- internal/rooms/directory.

-- +goose Up

CREATE TABLE network_rooms (
    service  text NOT NULL, -- the ID of the application service
    network  text NOT NULL, -- its ID of the network
    room_nid bigint NOT NULL REFERENCES rooms,
    PRIMARY KEY (service, network, room_nid)
);
CREATE INDEX network_rooms_room ON network_rooms (room_nid);
