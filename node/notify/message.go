// SPDX-License-Identifier: Apache-2.0

package notify

import "github.com/comity-network/comity/site/protocol"

// Message is one event on its way to one site. It is stored unsigned: each
// delivery attempt signs it again with the same jti and a fresh iat, since
// sites refuse events older than 60 s.
type Message struct {
	Site      string         // resource of the site
	Event     protocol.Event // IssuedAt is set when it is sent
	ExpiresAt int64          // when nobody needs it any more: seconds since 1970
}
