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
	token, secret = f.credentials.open()
	return f.verifier, f.clientID, token, secret
}

// ParseMemberReply returns the credentials in a member's reply.
func ParseMemberReply(data []byte, client string) (token, secret string, err error) {
	c, err := parseMemberReply(data, client)
	if err != nil {
		return "", "", err
	}
	token, secret = c.open()
	return token, secret, nil
}

// FindAPI finds the API index in Link headers.
func FindAPI(headers ...string) (string, bool) { return findLink(headers, relAPI) }

// ParseIndex returns the endpoint that an index names.
func ParseIndex(index []byte) (endpoint string, err error) {
	_, endpoint, err = parseIndex(index)
	return endpoint, err
}

// Unprinted are values of all types that hold something secret.
func Unprinted(canary string) []any {
	c := newCredentials(canary, canary)
	return []any{
		c, &c, outcome{credentials: c}, &connected{given: given{credentials: c}}, confirmForm{verifier: canary, credentials: c},
		connectDocument{Token: canary, Secret: canary}, memberReply{Token: canary, Secret: canary},
	}
}

// Pending is how many verifiers are good at the moment.
func (s *Server) Pending() int { return s.pending.len() }

// Idle reports whether nothing is held open and nobody waits.
func (s *Server) Idle() bool {
	for _, t := range []*turns{s.ofClient, s.ofHome, s.ofMembers, s.discoveries, s.ofPair, s.atSite} {
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
