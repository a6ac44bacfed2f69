// SPDX-License-Identifier: Apache-2.0

// oauth4webapi, as a public client of a site, with every step of its own: both
// metadata, registration, a pushed request, the login at the site, a code that is pinned to a
// key, the API, refresh, introspection, revocation.

import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { browse, done, input } from './lib.mjs'

const insecure = { [oauth.allowInsecureRequests]: true }

// retried is what a DPoP client does when a server wants a nonce.
async function retried(send) {
  try {
    return await send()
  } catch (e) {
    if (!oauth.isDPoPNonceError(e)) throw e
    return await send()
  }
}

const resource = new URL(input.resource)
const site = await oauth.processResourceDiscoveryResponse(resource, await oauth.resourceDiscoveryRequest(resource, insecure))
const issuer = new URL(site.authorization_servers[0])
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...insecure, algorithm: 'oauth2' }))

const client = await oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(as, input.metadata, { ...insecure, initialAccessToken: input.token }),
)
const [redirectURI] = client.redirect_uris
const auth = oauth.None()
assert.ok(as.dpop_signing_alg_values_supported.includes('ES256'))
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const pushed = await retried(async () => oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, auth, {
  response_type: 'code', redirect_uri: redirectURI, scope: input.scope, resource: site.resource, state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}, { ...insecure, DPoP })))
const link = new URL(as.authorization_endpoint)
link.searchParams.set('client_id', client.client_id)
link.searchParams.set('request_uri', pushed.request_uri)

const parameters = oauth.validateAuthResponse(as, client, await browse(link), state)
const tokens = await retried(async () => oauth.processAuthorizationCodeResponse(as, client,
  await oauth.authorizationCodeGrantRequest(as, client, auth, parameters, redirectURI, verifier, { ...insecure, DPoP })))
assert.equal(tokens.token_type, 'dpop')

const call = (token, options) => oauth.protectedResourceRequest(token, 'GET', new URL(input.api), undefined, undefined, { ...insecure, ...options })
assert.equal((await retried(() => call(tokens.access_token, { DPoP }))).status, 200)
await assert.rejects(call(tokens.access_token, {}), 'a token that is pinned to a key is no bearer token')

const next = await retried(async () => oauth.processRefreshTokenResponse(as, client,
  await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, { ...insecure, DPoP })))
assert.equal((await retried(() => call(next.access_token, { DPoP }))).status, 200)

const introspect = async (token) => oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, token, insecure))
assert.equal((await introspect(next.access_token)).aud, site.resource)
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, next.refresh_token, insecure))
assert.equal((await introspect(next.access_token)).active, false)
done()
