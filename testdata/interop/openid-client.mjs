// SPDX-License-Identifier: Apache-2.0

// openid-client, as the app of somebody who logs in at the broker: discovery,
// registration (with a token, or in the open), private_key_jwt, a pushed request, PKCE, tokens pinned to a key, an ID token,
// userinfo, refresh, introspection, revocation.

import assert from 'node:assert/strict'
import * as oidc from 'openid-client'
import { browse, done, input } from './lib.mjs'

const signingKey = await crypto.subtle.importKey('jwk', input.key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const config = await oidc.dynamicClientRegistration(
  new URL(input.issuer), input.metadata, oidc.PrivateKeyJwt({ key: signingKey, kid: input.key.kid }),
  { initialAccessToken: input.token, execute: [oidc.allowInsecureRequests] },
)
const { redirect_uris: [redirectURI], id_token_signed_response_alg: alg } = config.clientMetadata()
assert.equal(alg, input.metadata.id_token_signed_response_alg)
const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'))

const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
const expectedState = oidc.randomState()
const expectedNonce = oidc.randomNonce()
const link = await oidc.buildAuthorizationUrlWithPAR(config, {
  redirect_uri: redirectURI, scope: 'openid profile', state: expectedState, nonce: expectedNonce, max_age: '3600',
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
}, { DPoP })
assert.deepEqual([...link.searchParams.keys()].sort(), ['client_id', 'request_uri'])

const back = await browse(link)
const tokens = await oidc.authorizationCodeGrant(
  config, back, { pkceCodeVerifier, expectedState, expectedNonce, maxAge: 3600, idTokenExpected: true }, undefined, { DPoP },
)
assert.equal(tokens.token_type, 'dpop')
const { sub } = tokens.claims()
const info = await oidc.fetchUserInfo(config, tokens.access_token, sub, { DPoP })
assert.equal(info.name, 'Ada Example')

const next = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
assert.notEqual(next.access_token, tokens.access_token)
assert.notEqual(next.refresh_token, tokens.refresh_token)
assert.equal((await oidc.fetchUserInfo(config, next.access_token, sub, { DPoP })).sub, sub)

const found = await oidc.tokenIntrospection(config, next.access_token)
assert.equal(found.active, true)
assert.ok(found.cnf.jkt)
await oidc.tokenRevocation(config, next.access_token)
assert.equal((await oidc.tokenIntrospection(config, next.access_token)).active, false)
await assert.rejects(oidc.fetchUserInfo(config, next.access_token, sub, { DPoP }))

// The code was used.
await assert.rejects(
  oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true }, undefined, { DPoP }),
  (e) => e.error === 'invalid_grant',
)
done()
