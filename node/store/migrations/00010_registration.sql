-- SPDX-License-Identifier: Apache-2.0
-- Clients that register themselves: see node/registration/store.go, which says
-- what each column means, and registration.go. Times are seconds since 1970.
-- Nothing that opens anything is here: tokens are hashes.

-- +goose Up

CREATE TABLE initial_tokens (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       TEXT   NOT NULL UNIQUE,
    uses       BIGINT NOT NULL,
    used       BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Who may manage a registration that is in the log.
CREATE TABLE registration_tokens (
    client TEXT NOT NULL PRIMARY KEY,
    hash   TEXT NOT NULL
);

-- Registrations in the open. promoted: the client_id in the log, or empty;
-- fetched_at: when the client heard of that, 0: not yet.
CREATE TABLE local_clients (
    id         TEXT   NOT NULL PRIMARY KEY,
    token      TEXT   NOT NULL, -- hash of its registration access token
    metadata   TEXT   NOT NULL, -- RFC 7591, a JSON object
    promoted   TEXT   NOT NULL DEFAULT '',
    fetched_at BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX local_clients_expiry ON local_clients (expires_at);
