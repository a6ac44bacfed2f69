// SPDX-License-Identifier: Apache-2.0

package site

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/site/internal/store"
	"github.com/comity-network/comity/site/protocol"
)

const (
	// proofWindow is how far a proof's iat may be from now, in seconds.
	proofWindow = 60
	// nonceStep is how long one DPoP nonce is given out, in seconds; it is
	// accepted for as long again.
	nonceStep     = 60
	maxProofBytes = 8 << 10
)

// proofRules: only asymmetric algorithms, the key in the header.
var proofRules = jws.Rules{
	Types: []string{"dpop+jwt"}, Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA},
	MaxBytes: maxProofBytes, EmbedKey: true, Foreign: true,
}

// proof are the claims of a DPoP proof (RFC 9449, section 4.2).
type proof struct {
	ID         string `json:"jti"`
	Method     string `json:"htm"`
	URI        string `json:"htu"`
	IssuedAt   int64  `json:"iat"`
	AccessHash string `json:"ath"`
	Nonce      string `json:"nonce"`
}

var errNonce = errors.New("the proof needs the nonce of this answer")

// checkProof checks that the request carries a fresh proof by the key that the
// token is bound to, made for this request and used once.
func (s *Site) checkProof(w http.ResponseWriter, r *http.Request, token, jkt string) error {
	w.Header().Set("DPoP-Nonce", s.nonce(s.config.Now().Unix()/nonceStep))
	w.Header().Add("Access-Control-Expose-Headers", "DPoP-Nonce, WWW-Authenticate")
	p, err := s.parseProof(r, token, jkt)
	code := "invalid_dpop_proof"
	switch {
	case err == nil:
		sum := sha256.Sum256([]byte(jkt + " " + p.ID))
		err = s.store.ClaimProof(r.Context(), jws.Base64.EncodeToString(sum[:]), s.config.Now().Unix()+2*proofWindow+2*nonceStep)
		if err != nil && !errors.Is(err, store.ErrUsed) {
			return err
		}
	case errors.Is(err, errNonce):
		code = "use_dpop_nonce"
	}
	if err != nil {
		return &challenge{status: http.StatusUnauthorized, scheme: "DPoP", code: code, description: "DPoP: " + err.Error()}
	}
	return nil
}

// parseProof checks all of a proof but that it is used once (RFC 9449, section
// 4.3).
func (s *Site) parseProof(r *http.Request, token, jkt string) (*proof, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) != 1 {
		return nil, errors.New("exactly one header DPoP is needed")
	}
	m, err := jws.Parse(headers[0], proofRules)
	if err != nil {
		return nil, err
	}
	var p proof
	if err := strictjson.Unmarshal(m.Payload, &p); err != nil {
		return nil, err
	}
	if err := m.Verify(m.Key); err != nil {
		return nil, err
	}
	thumbprint, err := m.Key.Thumbprint(crypto.SHA256)
	if err != nil || subtle.ConstantTimeCompare([]byte(jws.Base64.EncodeToString(thumbprint)), []byte(jkt)) != 1 {
		return nil, errors.New("the proof is by another key than the token is bound to")
	}
	return &p, s.checkClaims(&p, r, token)
}

func (s *Site) checkClaims(p *proof, r *http.Request, token string) error {
	skew := s.config.Now().Unix() - p.IssuedAt
	switch {
	case p.ID == "" || len(p.ID) > 256:
		return errors.New("jti is missing or too long")
	case p.Method != r.Method:
		return errors.New("htm is not the method of this request")
	case !s.isRequestURI(p.URI, r):
		return errors.New("htu is not the URL of this request")
	case subtle.ConstantTimeCompare([]byte(p.AccessHash), []byte(protocol.TokenHash(token))) != 1:
		return errors.New("ath is not the hash of the token")
	case skew > proofWindow || skew < -proofWindow:
		return fmt.Errorf("iat is %d s away from the clock of this site", skew)
	case !s.isNonce(p.Nonce):
		return errNonce
	}
	return nil
}

// isRequestURI compares htu with the URL of the request without query. The
// origin is the configured one: the Host header is the sender's to choose.
func (s *Site) isRequestURI(htu string, r *http.Request) bool {
	u, err := url.Parse(htu)
	if err != nil || u.User != nil || u.Opaque != "" {
		return false
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	want, err := url.Parse(protocol.Origin(s.config.Resource))
	if err != nil {
		return false
	}
	given := u.EscapedPath()
	if given == "" {
		given = "/"
	}
	return strings.EqualFold(u.Scheme, want.Scheme) && strings.EqualFold(plainHost(u), want.Host) && given == path
}

// plainHost is the host without the default port.
func plainHost(u *url.URL) string {
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return u.Host
}

// nonce is the DPoP nonce of one step of time. It needs no memory, so all
// processes of a site accept each other's.
func (s *Site) nonce(step int64) string {
	return jws.Base64.EncodeToString(s.secret.MAC(sealNonce, strconv.FormatInt(step, 10))[:16])
}

func (s *Site) isNonce(nonce string) bool {
	step := s.config.Now().Unix() / nonceStep
	return hmac.Equal([]byte(nonce), []byte(s.nonce(step))) || hmac.Equal([]byte(nonce), []byte(s.nonce(step-1)))
}
