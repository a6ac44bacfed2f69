-- SPDX-License-Identifier: Apache-2.0
-- What the broker keeps of sites, and what it has yet to tell them: see
-- node/sites/rules.go and node/notify/store.go. Times are seconds since 1970.

-- +goose Up

-- Messages that wait. event holds the claims of the event, unsigned; position
-- is their order for one site; client is set where it says that a client was
-- stopped or may be used again.
CREATE TABLE outbox (
    site       TEXT   NOT NULL,
    jti        TEXT   NOT NULL,
    position   BIGINT NOT NULL,
    event      TEXT   NOT NULL,
    client     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (site, jti)
);
CREATE INDEX outbox_client ON outbox (client) WHERE client <> '';
CREATE INDEX outbox_order ON outbox (site, position);

CREATE TABLE sites (
    resource   TEXT   NOT NULL PRIMARY KEY,
    rule       TEXT   NOT NULL DEFAULT '' CHECK (rule IN ('', 'allowed', 'denied')),
    first_seen BIGINT NOT NULL DEFAULT 0, -- 0: never
    last_seen  BIGINT NOT NULL DEFAULT 0
);
