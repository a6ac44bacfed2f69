// SPDX-License-Identifier: Apache-2.0

// oauth-1.0a, as a client of a site that knows a broker: connect, then the three
// legs with the site itself, and a signed call. Once for each method of signing.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import OAuth from 'oauth-1.0a'
import { browse, done, input } from './lib.mjs'

const consumer = (key, secret, [name, hash]) => new OAuth({
  consumer: { key, secret }, signature_method: name,
  hash_function: (base, by) => createHmac(hash, by).update(base).digest('base64'),
})

async function send(oauth, method, url, { data, token, as = 'json' } = {}) {
  const headers = oauth.toHeader(oauth.authorize({ url, method, data }, token))
  const body = data && new URLSearchParams(Object.entries(data).filter(([name]) => !name.startsWith('oauth_'))) // those are in the header
  const response = await fetch(url, { method, headers, body })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return as === 'json' ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text))
}

for (const way of [['HMAC-SHA1', 'sha1'], ['HMAC-SHA256', 'sha256']]) {
  const home = consumer(input.key, input.secret, way)
  const given = await send(home, 'POST', input.connect, { data: { server_url: input.site } })
  const { request, authorize, access } = given.site_data.authentication.oauth1
  assert.equal(given.api_root, input.index)

  const site = consumer(given.client_token, given.client_secret, way)
  const asked = await send(site, 'POST', request, { data: { oauth_callback: input.callback }, as: 'form' })
  const link = new URL(authorize)
  link.searchParams.set('oauth_token', asked.oauth_token)
  const back = await browse(link)
  const token = { key: asked.oauth_token, secret: asked.oauth_token_secret }
  const granted = await send(site, 'POST', access, { data: { oauth_verifier: back.searchParams.get('oauth_verifier') }, token, as: 'form' })
  const user = await send(site, 'GET', input.api, { token: { key: granted.oauth_token, secret: granted.oauth_token_secret } })
  assert.equal(user.name, input.user)
}
done()
