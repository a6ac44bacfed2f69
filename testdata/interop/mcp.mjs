// SPDX-License-Identifier: Apache-2.0

// The OAuth client of the Model Context Protocol's SDK: it knows the URL of an
// API alone, is led by the 401 to site and broker, registers, logs in, and
// refreshes.

import assert from 'node:assert/strict'
import {
  discoverAuthorizationServerMetadata, discoverOAuthProtectedResourceMetadata, exchangeAuthorization, extractWWWAuthenticateParams,
  refreshAuthorization, registerClient, startAuthorization,
} from '@modelcontextprotocol/sdk/client/auth.js'
import { browse, done, input } from './lib.mjs'

const refused = await fetch(input.api)
assert.equal(refused.status, 401)
const { resourceMetadataUrl } = extractWWWAuthenticateParams(refused)
const site = await discoverOAuthProtectedResourceMetadata(input.api, { resourceMetadataUrl })
const server = site.authorization_servers[0]
const metadata = await discoverAuthorizationServerMetadata(server)
assert.equal(metadata.issuer, server)

// A token that the operator gave the developer goes with the registration.
const withToken = (url, init) => fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${input.token}` } })
const clientInformation = await registerClient(server, { metadata, clientMetadata: input.metadata, fetchFn: withToken })
const [redirectUrl] = clientInformation.redirect_uris
const resource = new URL(site.resource)
const { authorizationUrl, codeVerifier } = await startAuthorization(server, {
  metadata, clientInformation, redirectUrl, scope: input.scope, state: 'a state', resource,
})
const back = (await browse(authorizationUrl)).searchParams
assert.equal(back.get('error'), null, String(back))
assert.equal(back.get('state'), 'a state')
assert.equal(back.get('iss'), server)
const tokens = await exchangeAuthorization(server, {
  metadata, clientInformation, authorizationCode: back.get('code'), codeVerifier, redirectUri: redirectUrl, resource,
})
const call = async (token) => (await fetch(input.api, { headers: { authorization: `Bearer ${token}` } })).status
assert.equal(await call(tokens.access_token), 200)

const next = await refreshAuthorization(server, { metadata, clientInformation, refreshToken: tokens.refresh_token, resource })
assert.notEqual(next.refresh_token, tokens.refresh_token)
assert.equal(await call(next.access_token), 200)
await assert.rejects(refreshAuthorization(server, { metadata, clientInformation, refreshToken: 'another', resource }))
done()
