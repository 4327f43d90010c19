-- +goose Up

-- In scripts without spaces between words the index of messages has pairs of characters now, and edits are found by
-- their new text. Rows of before are written anew in the background, the newest first: those below before are left, and
-- there is no row once all are done. Owned by internal/personal/search.
CREATE TABLE search_rewriting (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    before   bigint NOT NULL,
    done     bigint NOT NULL DEFAULT 0,
    total    bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO search_rewriting (before, total)
SELECT max(event_nid) + 1, count(*) FROM search_index HAVING count(*) > 0;

-- Searches in few rooms need not look at the messages of all. Rows of one room share one entry of the index.
CREATE INDEX search_index_room ON search_index (room_nid);
