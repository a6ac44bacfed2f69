-- SPDX-License-Identifier: Apache-2.0
-- Requests for membership that came to this broker: see membership.go. Times
-- are seconds since 1970.

-- +goose Up

CREATE TABLE membership_requests (
    id          TEXT   NOT NULL PRIMARY KEY, -- CID of record
    issuer      TEXT   NOT NULL UNIQUE,
    key         TEXT   NOT NULL,
    record      TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('waiting', 'approved', 'refused')),
    reason      TEXT   NOT NULL DEFAULT ''
);
