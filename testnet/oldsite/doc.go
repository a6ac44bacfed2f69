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
//   - Signatures are HMAC-SHA1 or HMAC-SHA256, and timestamps are within 900 s.
//     An unknown key gets 401 and the text "Consumer Key is invalid".
//
// Not measured, and therefore ours: the other texts, in which order members are
// checked, and that a nonce is good once, as RFC 5849, section 3.3, wants it.
//
// Each field of Behaviour is one departure from this. Log says what came in
// and what the site asked, and Wait waits for it. The package wordpress beside
// this one starts real sites, for long tests.
//
// # Recordings
//
// NewReplay plays what was recorded between WordPress with the original plugin
// and a broker: the same bytes in the same order, with the recorded times or
// without. testdata has one complete connection for each version of WordPress
// that was looked at, and the departures from it. The tests of testnet play each
// of them to a broker that runs. A recording is text:
//
//	# a comment
//	like connect-7.1.4
//
//	receive POST /wp-json/broker/v1/connect
//	ask 93ms POST {confirm}
//		Content-Type: application/x-www-form-urlencoded
//
//		verifier={verifier}&client_id={client_id}&client_token=FTSvbhgVGfmg&…
//	answer 133ms 202 Accepted
//		Content-Type: application/json; charset=UTF-8
//
// "receive" begins an exchange: a request with this method and path, whatever
// its query, header and body, is served by it. Several with the same method
// and path are used up in their order, and the last serves what comes after.
// What a recording has not is looked up in the one that "like", its first
// line, names. "ask" is a request of the site, sent while the other is open;
// it ends with the broker's answer, or when the site gives up. "answer" is the
// answer, last. Their times count from the request's arrival; what is waited
// for may make them later. Indented by a tab follow the header, a line with
// nothing else, and the body, whose last line has no end. Headers that carry
// nothing for a broker or client are left out.
//
// Names in braces stand for what differs: {site}, the URL without its last
// slash, and {site_json}, the same as PHP writes it; {confirm}, the broker's
// confirm URL; {location}, where its last answer redirected to; {verifier},
// {client_id} and {callback} of the connection request; {pad:N}, so many
// letters that the body has N bytes.
//
// The site trusts every broker of its configuration, as the plugin does. It is
// for tests only: it keeps everything in memory, secrets in its log too.
package oldsite
