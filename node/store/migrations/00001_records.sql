-- SPDX-License-Identifier: Apache-2.0
-- What the replica of the federation keeps: see records.go and the package
-- comment of federation. "log" is always the thumbprint of the first record
-- key of the broker whose log it is.

-- +goose Up

-- One row a log entry. hashes are the Merkle hashes that this entry completes,
-- level 0 first, each 32 bytes as base64url, one after another.
CREATE TABLE records (
    log      TEXT     NOT NULL,
    position BIGINT   NOT NULL,
    cid      TEXT     NOT NULL,
    kind     TEXT     NOT NULL,
    client   TEXT     NOT NULL, -- empty when the record is about no client
    stops    SMALLINT NOT NULL, -- 1: the record can put its client on the stop list
    hashes   TEXT     NOT NULL,
    raw      TEXT     NOT NULL,
    PRIMARY KEY (log, position)
);
CREATE INDEX records_client ON records (client, log, position);
CREATE INDEX records_stops ON records (client) WHERE stops = 1;
CREATE INDEX records_broker ON records (log, position) WHERE kind = 'comity-broker+jwt';

-- Stops that arrived before the log entry that holds them: a stop counts on
-- its signature alone.
CREATE TABLE heard (
    cid    TEXT     NOT NULL PRIMARY KEY,
    log    TEXT     NOT NULL,
    kind   TEXT     NOT NULL,
    client TEXT     NOT NULL,
    stops  SMALLINT NOT NULL,
    raw    TEXT     NOT NULL
);
CREATE INDEX heard_client ON heard (client);

-- The newest checkpoint of each log, and how many clients the log registers.
CREATE TABLE heads (
    log        TEXT   NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    root       TEXT   NOT NULL,
    clients    BIGINT NOT NULL,
    checkpoint TEXT   NOT NULL
);

-- The newest view of each member.
CREATE TABLE views (
    log TEXT   NOT NULL PRIMARY KEY,
    iat BIGINT NOT NULL,
    raw TEXT   NOT NULL
);

CREATE TABLE charters (
    cid     TEXT   NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    raw     TEXT   NOT NULL
);

-- Pairs of signed statements that contradict each other, kept for ever.
CREATE TABLE evidence (
    id      TEXT NOT NULL PRIMARY KEY,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    a       TEXT NOT NULL,
    b       TEXT NOT NULL
);
