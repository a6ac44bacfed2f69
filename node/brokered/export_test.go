// SPDX-License-Identifier: Apache-2.0

package brokered

// What other programs send is read here.
var (
	ParseConfirm       = parseConfirm
	ParseMemberRequest = parseMemberRequest
	CheckURL           = checkURL
)

// Members are what a confirm holds.
func (f confirmForm) Members() (verifier, client, token, secret string) {
	return f.verifier, f.clientID, f.credentials.token, f.credentials.secret
}

// ParseMemberReply returns the credentials in a member's reply.
func ParseMemberReply(data []byte, client string) (token, secret string, err error) {
	c, err := parseMemberReply(data, client)
	return c.token, c.secret, err
}

// FindAPI finds the API index in Link headers.
func FindAPI(headers ...string) (string, bool) { return findLink(headers, relAPI) }

// ParseIndex returns the endpoint that an index names.
func ParseIndex(index []byte) (endpoint string, err error) {
	_, endpoint, err = parseIndex(index)
	return endpoint, err
}

// Credentials are what must not be printed.
func Credentials(token, secret string) any { return credentials{token, secret} }

// Pending is how many verifiers are good at the moment.
func (s *Server) Pending() int { return s.pending.len() }

// Idle reports whether nothing is held open and nobody waits.
func (s *Server) Idle() bool {
	for _, t := range []*turns{s.held, s.ofClient, s.discoveries, s.ofPair, s.atSite} {
		t.mu.Lock()
		n := len(t.lines)
		t.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return s.Pending() == 0
}

// Remembered is how many discoveries, and sites that do not know this broker,
// are in memory.
func (s *Server) Remembered() (found, unknown int) { return len(s.found.kept), len(s.unknown.kept) }
