-- SPDX-License-Identifier: Apache-2.0
-- What this node holds for the federation's DHT: see datastore.go. Each value is
-- a copy of something signed; all of it can be lost without harm.

-- +goose Up

CREATE TABLE dht (
    name  TEXT NOT NULL PRIMARY KEY, -- key of the datastore, begins with a slash
    value TEXT NOT NULL              -- base64url
);
