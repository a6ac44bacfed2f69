// SPDX-License-Identifier: Apache-2.0

package site

import "github.com/comity-network/comity/site/protocol"

// Assertion makes the client_assertion by which the site authenticates at one
// of its brokers, for introspection, polling and the revocation of a token. It
// is good for one use, within 60 s.
func (s *Site) Assertion(issuer string) (string, error) {
	return protocol.SignSiteAssertion(s.config.Key, protocol.SiteAssertion{
		Issuer: s.config.Resource, Audience: issuer, IssuedAt: s.config.Now().Unix(),
	})
}
