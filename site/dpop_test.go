// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// prover makes DPoP proofs as another implementation would.
type prover struct {
	t   *testing.T
	alg jose.SignatureAlgorithm
	key crypto.Signer
	typ string
}

func (p *prover) jkt() string {
	sum, err := (&jose.JSONWebKey{Key: p.key.Public()}).Thumbprint(crypto.SHA256)
	must(p.t, err)
	return jws.Base64.EncodeToString(sum)
}

func (p *prover) proof(claims map[string]any) string {
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType(jose.ContentType(p.typ))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: p.key}, options)
	must(p.t, err)
	payload, err := json.Marshal(claims)
	must(p.t, err)
	signed, err := signer.Sign(payload)
	must(p.t, err)
	compact, err := signed.CompactSerialize()
	must(p.t, err)
	return compact
}

func newProver(t *testing.T) *prover {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &prover{t, jose.ES256, key, "dpop+jwt"}
}

// boundToken logs in with a grant that is pinned to the key of p.
func boundToken(s *testSite, p *prover) string {
	code := s.consent("alice", s.fed.brokers[0].register(metadata()), func(q url.Values) { q.Set("dpop_jkt", p.jkt()) })
	if code.JKT != p.jkt() {
		s.t.Fatalf("the code carries the key %q", code.JKT)
	}
	token := registry.NewID()
	event := s.fed.brokers[0].issued(token, code, func(i *protocol.TokenIssued) { i.TokenType, i.JKT = protocol.TokenDPoP, p.jkt() })
	if got := post(s.t, s.url("/comity/events"), event); got != "202" {
		s.t.Fatal(got)
	}
	return token
}

// send calls the API with these headers.
func (s *testSite) send(scheme, token string, proofs ...string) answer {
	req, err := http.NewRequest(http.MethodGet, s.url("/photos?page=2"), nil)
	must(s.t, err)
	req.Header.Set("Authorization", scheme+" "+token)
	req.Header["Dpop"] = proofs
	return newBrowser(s, "").do(req)
}

// TestDPoP: a bound token is worth nothing without its key (RFC 9449).
func TestDPoP(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	owner, thief := newProver(t), newProver(t)
	token := boundToken(s, owner)
	claims := func(nonce string) map[string]any {
		return map[string]any{
			"jti": registry.NewID(), "htm": "GET", "htu": s.url("/photos"), "iat": f.clock.Unix(),
			"ath": protocol.TokenHash(token), "nonce": nonce,
		}
	}
	first := s.send("DPoP", token, owner.proof(claims("")))
	nonce := first.Header.Get("DPoP-Nonce")
	if first.StatusCode != http.StatusUnauthorized || !strings.Contains(first.Header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) || nonce == "" {
		t.Fatalf("without nonce: %d %v", first.StatusCode, first.Header)
	}
	good := owner.proof(claims(nonce))
	if got := s.send("DPoP", token, good); got.StatusCode != http.StatusOK {
		t.Fatalf("good proof: %d %s", got.StatusCode, got.body)
	}
	edwards := &prover{t, jose.EdDSA, ed25519Key(t), "dpop+jwt"}
	with := func(name string, value any) map[string]any {
		c := maps.Clone(claims(nonce))
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	mistyped := &prover{t, jose.ES256, owner.key, "jwt"}
	for name, proofs := range map[string][]string{
		"none":                 nil,
		"two":                  {owner.proof(claims(nonce)), owner.proof(claims(nonce))},
		"used before":          {good},
		"another key":          {thief.proof(claims(nonce))},
		"another kind of key":  {edwards.proof(claims(nonce))},
		"another typ":          {mistyped.proof(claims(nonce))},
		"altered":              {owner.proof(claims(nonce)) + "A"},
		"no jti":               {owner.proof(with("jti", nil))},
		"a very long jti":      {owner.proof(with("jti", strings.Repeat("j", 257)))},
		"another method":       {owner.proof(with("htm", "POST"))},
		"lower-case method":    {owner.proof(with("htm", "get"))},
		"another path":         {owner.proof(with("htu", s.url("/upload")))},
		"another host":         {owner.proof(with("htu", "http://wiki.example/photos"))},
		"another scheme":       {owner.proof(with("htu", strings.Replace(s.url("/photos"), "http:", "https:", 1)))},
		"no htu":               {owner.proof(with("htu", nil))},
		"another token's hash": {owner.proof(with("ath", protocol.TokenHash("x")))},
		"no ath":               {owner.proof(with("ath", nil))},
		"61 s old":             {owner.proof(with("iat", f.clock.Unix()-61))},
		"61 s ahead":           {owner.proof(with("iat", f.clock.Unix()+61))},
		"no iat":               {owner.proof(with("iat", nil))},
		"a nonce of nobody":    {owner.proof(with("nonce", strings.Repeat("A", 22)))},
		"nonce of another day": {owner.proof(with("nonce", ""))},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.send("DPoP", token, proofs...)
			if got.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "DPoP ") {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
		})
	}
	for _, scheme := range []string{"Bearer", "bearer"} { // fault: downgrade
		if got := s.send(scheme, token, owner.proof(claims(nonce))); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("scheme %s: %d", scheme, got.StatusCode)
		}
	}
	for name, c := range map[string]map[string]any{
		"htu with query":      with("htu", s.url("/photos?page=2")),
		"htu in other case":   with("htu", strings.Replace(s.url("/photos"), "http:", "HTTP:", 1)),
		"59 s old":            with("iat", f.clock.Unix()-59),
		"an unknown claim":    with("extra", "x"),
		"an ordinary, second": claims(nonce),
	} {
		if got := s.send("dpop", token, owner.proof(c)); got.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	s.poll(time.Minute)
	next := s.send("DPoP", token, owner.proof(claims(nonce))) // the nonce of the minute before
	if next.StatusCode != http.StatusOK || next.Header.Get("DPoP-Nonce") == nonce {
		t.Errorf("a minute later: %d", next.StatusCode)
	}
	s.poll(time.Minute)
	if got := s.send("DPoP", token, owner.proof(claims(nonce))); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("two minutes later: %d", got.StatusCode)
	}
	proof := owner.proof(claims(next.Header.Get("DPoP-Nonce")))
	if got := s.send("DPoP", token, proof); got.StatusCode != http.StatusOK {
		t.Error(got.StatusCode)
	}
	s.reopen()
	if got := s.send("DPoP", token, proof); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a used proof after a restart: %d", got.StatusCode)
	}
}

func ed25519Key(t *testing.T) crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

// TestDPoPEdwards: Ed25519 keys work too.
func TestDPoPEdwards(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	p := &prover{t, jose.EdDSA, ed25519Key(t), "dpop+jwt"}
	token := boundToken(s, p)
	nonce := s.send("DPoP", token).Header.Get("DPoP-Nonce")
	got := s.send("DPoP", token, p.proof(map[string]any{
		"jti": "1", "htm": "GET", "htu": s.url("/photos"), "iat": f.clock.Unix(), "ath": protocol.TokenHash(token), "nonce": nonce,
	}))
	if got.StatusCode != http.StatusOK {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// TestDPoPBoundClient: who has registered to use DPoP gets no Bearer token.
func TestDPoPBoundClient(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	m := metadata()
	m.DPoPBound = true
	code := s.consent("alice", f.brokers[0].register(m), nil)
	if got := post(t, s.url("/comity/events"), f.brokers[0].issued("t", code, nil)); got != "400 access_denied" {
		t.Error(got)
	}
}
