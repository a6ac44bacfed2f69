// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/node/saml"
)

const (
	entityID  = "https://idp.example/metadata"
	issuer    = "https://broker.example"
	recipient = "https://broker.example/oauth/token"
)

var (
	now    = time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC)
	expect = saml.Expect{Audience: []string{issuer, recipient}, Recipient: recipient, Now: now}
)

// signatureTemplate is what xmlsec1 fills.
const signatureTemplate = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>` +
	`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>` +
	`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>` +
	`<ds:Reference URI="#_5f0c"><ds:Transforms>` +
	`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>` +
	`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>` +
	`</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/>` +
	`</ds:Reference></ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>`

// template is an assertion that is accepted once it is signed.
const template = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_5f0c" Version="2.0" IssueInstant="2026-03-01T12:00:00Z">` +
	`<saml:Issuer>https://idp.example/metadata</saml:Issuer>` + signatureTemplate +
	`<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice@example.com</saml:NameID>` +
	`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
	`<saml:SubjectConfirmationData NotOnOrAfter="2026-03-01T12:05:00Z" Recipient="https://broker.example/oauth/token"/>` +
	`</saml:SubjectConfirmation></saml:Subject>` +
	`<saml:Conditions NotBefore="2026-03-01T12:00:00Z" NotOnOrAfter="2026-03-01T12:05:00Z"><saml:AudienceRestriction>` +
	`<saml:Audience>https://broker.example</saml:Audience></saml:AudienceRestriction><saml:OneTimeUse/></saml:Conditions>` +
	`<saml:AuthnStatement AuthnInstant="2026-03-01T11:59:58Z" SessionIndex="_s1"><saml:AuthnContext><saml:AuthnContextClassRef>` +
	`urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
	`</saml:Assertion>`

// alice is what template says.
var alice = saml.Assertion{
	Issuer: entityID, ID: "_5f0c", Subject: "alice@example.com",
	Format:          "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
	AuthenticatedAt: time.Date(2026, 3, 1, 11, 59, 58, 0, time.UTC),
	ExpiresAt:       time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC),
}

// idp is an identity provider: a key, its certificate, and xmlsec1.
type idp struct {
	dir         string // key.pem, certificate.pem, metadata.xml
	certificate *x509.Certificate
	metadata    string
}

var rsaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func ecKey(curve elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }

func newIDP(t testing.TB, key crypto.Signer) *idp {
	t.Helper()
	p := &idp{dir: t.TempDir(), certificate: certify(key, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))}
	private := must(x509.MarshalPKCS8PrivateKey(key))
	p.write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	p.write(t, "certificate.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw}))
	p.metadata = p.write(t, "metadata.xml", []byte(metadata(p.certificate)))
	return p
}

func (p *idp) write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certify(key crypto.Signer, from, until time.Time) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp.example"},
		NotBefore: from, NotAfter: until,
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))))
}

// metadata describes an identity provider with these certificates.
func metadata(certificates ...*x509.Certificate) string {
	var keys strings.Builder
	for _, c := range certificates {
		fmt.Fprintf(&keys, `
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>
%s
      </ds:X509Certificate></ds:X509Data></ds:KeyInfo>
    </md:KeyDescriptor>`, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + entityID + `">
  <!-- the identity provider of the tests -->
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys.String() + `
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
`
}

func (p *idp) trust(t testing.TB) *saml.Trust {
	t.Helper()
	trust, err := saml.Load([]string{p.metadata})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// assertionID tells xmlsec1 which attribute a Reference is to.
var assertionID = []string{"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"}

// sign has xmlsec1 fill the signature template in a document.
func (p *idp) sign(t testing.TB, document string) string {
	t.Helper()
	return p.xmlsec1(t, document, "--sign", "--privkey-pem", "key.pem,certificate.pem")
}

// vouches reports whether xmlsec1 finds the signature of p valid in document.
func (p *idp) vouches(t testing.TB, document string) bool {
	t.Helper()
	_, err := p.run(t, document, "--verify", "--pubkey-cert-pem", "certificate.pem")
	return err == nil
}

func (p *idp) xmlsec1(t testing.TB, document string, args ...string) string {
	t.Helper()
	out, err := p.run(t, document, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *idp) run(t testing.TB, document string, args ...string) (string, error) {
	t.Helper()
	p.write(t, "document.xml", []byte(document))
	var out, failure bytes.Buffer
	cmd := exec.Command("xmlsec1", append(append(args, assertionID...), "document.xml")...)
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatalf("xmlsec1, of the package of that name, is needed: %v", err)
		}
		return "", fmt.Errorf("xmlsec1: %w\n%s", err, failure.String())
	}
	return out.String(), nil
}

// edit replaces pairs of strings in s, each of which must be there.
func edit(t testing.TB, s string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			t.Fatalf("nothing to replace: %s", pairs[i])
		}
		s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
	}
	return s
}

// parameter is a document as clients send it.
func parameter(document string) []byte { return []byte(jws.Base64.EncodeToString([]byte(document))) }

// refused checks that a document is refused with a sentence.
func refused(t testing.TB, trust *saml.Trust, document string, e saml.Expect, sentence string) {
	t.Helper()
	a, err := trust.Verify(parameter(document), e)
	switch {
	case a != nil || !errors.Is(err, saml.ErrRefused):
		t.Fatalf("%v, %v: want a refusal", a, err)
	case !strings.Contains(err.Error(), sentence):
		t.Fatalf("%v: want %q", err, sentence)
	}
}

// accepted checks that a document is accepted, and what it says.
func accepted(t testing.TB, trust *saml.Trust, document string, e saml.Expect, want saml.Assertion) {
	t.Helper()
	a, err := trust.Verify(parameter(document), e)
	if err != nil {
		t.Fatal(err)
	}
	if *a != want {
		t.Fatalf("%+v, want %+v", *a, want)
	}
}
