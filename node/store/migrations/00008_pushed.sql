-- SPDX-License-Identifier: Apache-2.0
-- Authorization requests that clients pushed: see node/oauth/par.go.

-- +goose Up

CREATE TABLE pushed (
    hash       TEXT   NOT NULL PRIMARY KEY,
    client     TEXT   NOT NULL,
    parameters TEXT   NOT NULL, -- a JSON object
    expires_at BIGINT NOT NULL
);
CREATE INDEX pushed_expiry ON pushed (expires_at);
