// SPDX-License-Identifier: Apache-2.0

package oauth

import "strings"

// LocalPrefix begins the client_id of a client that registered itself at this
// broker (package registration) and is in no log. No CID begins so.
const LocalPrefix = "local-"

// IsLocal reports whether a client_id is of such a client.
func IsLocal(id string) bool { return strings.HasPrefix(id, LocalPrefix) }

// localOnly keeps a client that no log knows from everything but logins at this
// broker itself: a site could not verify it, and nobody else could stop it.
func (s *Server) localOnly(clientID, resource string) error {
	if IsLocal(clientID) && resource != s.cfg.Issuer {
		return unauthorizedClient("the client is registered at this broker alone, and may ask it who somebody is; " +
			"for anything else the operator must register it (comity app promote)")
	}
	return nil
}
