-- SPDX-License-Identifier: Apache-2.0
-- By its access token a refresh token is looked for only until that is released.

-- +goose Up

DROP INDEX refresh_tokens_token;
CREATE INDEX refresh_tokens_pending ON refresh_tokens (token) WHERE state = 'pending';
