// SPDX-License-Identifier: Apache-2.0

package brokered

// What other programs send is read here.
var (
	ParseConfirm       = parseConfirm
	ParseMemberRequest = parseMemberRequest
	ParseMemberReply   = parseMemberReply
	ParseError         = parseError
	CheckURL           = checkURL
)

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
