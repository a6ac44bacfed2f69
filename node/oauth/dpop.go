// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/site/protocol"
)

// proofLife is how far iat of a proof may lie from now, in seconds.
const proofLife = 60

var proofAlgorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256}

var proofRules = jws.Rules{
	Types:      []string{"dpop+jwt"},
	Algorithms: proofAlgorithms,
	MaxBytes:   4 << 10,
	EmbedKey:   true,
	Foreign:    true,
}

// proof is a DPoP proof that was checked, but not yet used up.
type proof struct {
	JKT       string // RFC 7638 thumbprint of its key
	tokenHash string // ath: hash of the token that it goes with; empty at the token endpoint
	once      OneTime
}

// proofClaims are those of RFC 9449, section 4.2.
type proofClaims struct {
	ID       string `json:"jti"`
	Method   string `json:"htm"`
	URL      string `json:"htu"`
	IssuedAt int64  `json:"iat"`
	Nonce    string `json:"nonce"`
	Token    string `json:"ath"`
}

// readProof checks the DPoP proof of a request to an endpoint (RFC 9449, section 4.3).
// Without one it returns nil. Mint uses it up, together with the grant, so
// that a request that was refused has used up neither.
func (s *Server) readProof(r *http.Request, endpoint string) (*proof, error) {
	headers := r.Header.Values("DPoP")
	switch len(headers) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, invalidProof("more than one DPoP header")
	}
	m, err := jws.Parse(headers[0], proofRules)
	if err != nil {
		return nil, invalidProof("%v", err)
	}
	if !slices.Contains(algorithmsOf(m.Key.Key), jose.SignatureAlgorithm(m.Algorithm)) {
		return nil, invalidProof("alg does not fit the key")
	}
	if err := m.Verify(m.Key.Key); err != nil {
		return nil, invalidProof("the signature does not verify")
	}
	var claims proofClaims
	if err := strictjson.Unmarshal(m.Payload, &claims); err != nil {
		return nil, invalidProof("%v", err)
	}
	if err := s.checkProof(&claims, r.Method, endpoint); err != nil {
		return nil, err
	}
	sum, err := m.Key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, invalidProof("the key has no thumbprint")
	}
	p := &proof{JKT: jws.Base64.EncodeToString(sum), tokenHash: claims.Token}
	p.once = OneTime{
		Key:       "proof:" + protocol.TokenHash(p.JKT+"\n"+claims.ID),
		ExpiresAt: claims.IssuedAt + proofLife + 1,
	}
	return p, nil
}

func (s *Server) checkProof(c *proofClaims, method, endpoint string) error {
	now := s.now()
	switch {
	case c.ID == "" || len(c.ID) > maxIDBytes:
		return invalidProof("jti is missing or too long")
	case c.Method != method:
		return invalidProof("htm must be %s", method)
	case !sameURL(c.URL, endpoint):
		return invalidProof("htu must be %s", endpoint)
	case c.Nonce == "" || !s.nonces.accepts(c.Nonce):
		return useNonce()
	case c.IssuedAt < now-proofLife || c.IssuedAt > now+proofLife:
		return invalidProof("iat is more than %d s from now; is the clock right?", proofLife)
	}
	return nil
}

// sameURL compares without query and fragment, after the normalisation that
// RFC 9449, section 4.3, asks for.
func sameURL(given, want string) bool {
	u, err := url.Parse(given)
	if err != nil || u.User != nil || u.Opaque != "" {
		return false
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme+"://"+host+u.EscapedPath() == want
}

// bound judges whether the request shows the key that it must: the one that
// the grant is pinned to, or any if the client asked for DPoP when it was
// registered. pinned is empty when the grant names no key.
func bound(c *client, p *proof, pinned string) error {
	switch {
	case p == nil && (pinned != "" || c.Metadata.DPoPBound):
		return invalidProof("a DPoP proof is required")
	case pinned != "" && p.JKT != pinned:
		return invalidGrant("the grant is pinned to another DPoP key")
	}
	return nil
}
