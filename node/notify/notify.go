// SPDX-License-Identifier: Apache-2.0

// Package notify tells sites what the broker did: tokens that were minted or
// revoked, clients that were stopped. There are two ways, for one kind of
// [Message]:
//
//   - [Sender].Deliver pushes one event, once, and returns the site's answer
//     (RFC 8935). A token is handed to its client only after this answer. At a
//     site that takes batches, events that come at the same time share a push.
//   - [Outbox] delivers what must arrive some time: messages that the store
//     keeps, written in the transaction that made them necessary. It retries
//     until the site has accepted or refused, or nobody needs the message any
//     more. Sites that cannot be reached fetch them ([Poller], RFC 8936).
//
// An exchange, in full:
//
//	POST /comity/events HTTP/1.1
//	Host: wiki.example
//	Content-Type: application/secevent+jwt
//	Accept: application/json
//
//	eyJhbGciOiJFZERTQSIs…
//
//	HTTP/1.1 202 Accepted
//
// The only acknowledgement is a 202 from the address in the site's own
// metadata: no redirect is followed, no proxy asked. A 400 with an error of
// RFC 8935 is a refusal. Everything else, and silence for three seconds, says
// nothing: the site may have stored the event or not. So each attempt has the
// same jti, with a fresh iat and signature, and sites take the same jti as
// often as it comes.
//
// Delivery is at least once and, for one site, in order; an event that a site
// keeps answering with an error is put behind the others. Sites do not wait
// for each other: a site that failed is tried again after one second, then
// two, up to five minutes, and such sites have their own, fewer, places.
//
// Trust: an answer is foreign, its body is read to 4 KiB and used for a
// description only.
package notify

import (
	"context"
	"errors"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/site/protocol"
)

// ErrNoEndpoint: the site has no events endpoint; it polls.
var ErrNoEndpoint = errors.New("the site has no events endpoint")

// Directory knows the sites. It is a *sites.Directory.
type Directory interface {
	Site(ctx context.Context, resource string) (*sites.Site, error)
}

// Answer is what became of one attempt. Exactly one field is set.
type Answer struct {
	Accepted bool                // the site has stored the event
	Refused  *protocol.PushError // the site has understood the event and does not want it
	Err      error               // nobody knows: the site may have stored it or not
}

// Outcome is one word for logs.
func (a Answer) Outcome() string {
	switch {
	case a.Accepted:
		return "accepted"
	case a.Refused != nil:
		return "refused"
	}
	return "unknown"
}
