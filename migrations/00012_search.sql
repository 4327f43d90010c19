-- +goose Up

-- How far those have come who read the journal in the background, by name. Owned
-- by internal/journal.
CREATE TABLE followers (
    name     text   PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 10);

-- The words of what can be searched for, one row for each event. key is where
-- the text stood, as clients name it. Owned by internal/search.
CREATE TABLE search_index (
    position bigint   PRIMARY KEY,
    room_nid bigint   NOT NULL,
    sender   text     NOT NULL,
    key      text     NOT NULL,
    has_url  boolean  NOT NULL,
    words    tsvector NOT NULL
);
CREATE INDEX search_index_words ON search_index USING gin (words);
