-- SPDX-License-Identifier: Apache-2.0
-- What a federation of several adds: logs of others, which may be stored
-- further than their head, and charters that members have not all approved.

-- +goose Up

-- How many entries of the log are stored. Those from size on are staged: they
-- wait for a head that covers them.
ALTER TABLE heads ADD COLUMN entries BIGINT NOT NULL DEFAULT 0;
UPDATE heads SET entries = size;

CREATE TABLE proposals (
    cid TEXT NOT NULL PRIMARY KEY,
    raw TEXT NOT NULL
);
