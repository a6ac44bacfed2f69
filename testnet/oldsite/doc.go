// SPDX-License-Identifier: Apache-2.0

// Package oldsite is the site's side of Brokered Authentication for OAuth
// 1.0a, for tests of a broker: a server on loopback that behaves as WordPress
// with the original plugin of 2016 was measured to behave.
//
//	client → broker   POST /broker/connect/            held open
//	broker → site     HEAD URL()                       Link: <…/wp-json/>; rel="https://api.w.org/"
//	broker → site     GET IndexURL()                   authentication.broker = ConnectURL()
//	broker → site     POST ConnectURL()                client_id, broker, verifier, callback_url, …
//	site → broker     POST the broker's confirm URL    while the request above is open
//	broker → site     200                              and only now the credentials work
//	site → broker     202                              last
//
// Then the client runs three-legged OAuth 1.0a (RFC 5849) with the site itself,
// Approve being the user, and asks APIURL with signed requests.
//
// What was measured, and is done here when Behaviour is zero:
//
//   - The broker is found by its identifier, an exact string; any other gets
//     400 ba.unknown_broker.
//   - The body of the confirm is not URL-encoded:
//     verifier=…&client_id=…&client_token=…&client_secret=…
//   - The site gives up on the confirm after 5 s and follows redirects of it,
//     to wherever they lead: with the same method and body for 301, 307 and
//     308, with GET and the same body for 302 and 303.
//   - Exactly 200 makes the credentials work. The connection request is
//     answered 202 whatever the broker said, also when it said nothing or
//     showed a certificate that nobody vouches for.
//   - A client that is known by its id, through whatever broker, is sent its
//     first key and secret again, before any answer is seen; a new name or
//     callback is ignored.
//   - Connection requests of one client at the same time make several live sets.
//   - Signatures are HMAC-SHA1 or HMAC-SHA256, timestamps are within 900 s,
//     and a nonce is good once. An unknown key gets 401 and the text
//     "Consumer Key is invalid".
//
// Each field of Behaviour is one departure from this. Log says what came in
// and what the site asked, and Wait waits for it.
//
// The site trusts every broker of its configuration, as the plugin does. It is
// for tests only: it keeps everything in memory, secrets in its log too.
package oldsite
