// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

const peoplesPassword = "correct horse battery"

// addUser makes an account at the broker, with a password from a pipe.
func (w *world) addUser(name string) {
	w.Helper()
	w.secrets.Add("password", peoplesPassword)
	cmd := exec.CommandContext(w.ctx, binary, "user", "add", name, "--password-stdin", "--data", w.broker.Dir)
	cmd.Stdin = strings.NewReader(peoplesPassword + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("comity user add: %v\n%s", err, out)
	}
}

// withoutUsers is a site whose people all log in at the broker.
func (w *world) withoutUsers() *site.Site {
	return w.site("library", func(c *site.Config) {
		c.NoUsers, c.AllowBrokerUsers = true, func(string, string, string) bool { return true }
	})
}

// TestPeopleOfTheBroker: with real processes, somebody logs in at the broker for
// a site without users; the operator disables the account, and the site refuses.
func TestPeopleOfTheBroker(t *testing.T) {
	w := newWorld(t)
	s := w.withoutUsers()
	w.addUser("ada")
	a := w.register("Reader", "none")
	target := w.discover(a, s.API)
	request := a.NewRequest(target, site.ReadNotes, true)
	browser := app.NewBrowser(nil)
	browser.StopAt = a.RedirectURI
	press := func(p *app.Page, button string, values map[string]string) *app.Page {
		t.Helper()
		p, err := browser.Submit(w.ctx, p, button, values)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	page, err := browser.Open(w.ctx, request.URL)
	if err != nil {
		t.Fatal(err)
	}
	page = press(page, "Log in", map[string]string{"name": "ada", "password": peoplesPassword})
	page = press(page, "answer=allow", nil)
	code, err := a.Code(request, page.URL)
	if err != nil {
		t.Fatalf("%v: %s", err, app.Text(page.Body))
	}
	tokens, err := a.Redeem(w.ctx, target, request, code)
	if err != nil {
		t.Fatal(err)
	}
	answer := w.call(a, target, tokens, http.StatusOK)
	if !strings.Contains(answer.Body, " of "+w.broker.Issuer) || strings.Contains(answer.Body, "ada") {
		t.Errorf("the site sees %q", answer.Body)
	}
	w.command("user", "disable", "ada")
	w.until("the site refuses", func() bool {
		answer, err := a.Call(w.ctx, target, tokens)
		return err == nil && answer.Status == http.StatusUnauthorized
	})
	_, err = a.Refresh(w.ctx, target, tokens.RefreshToken)
	w.wantError(err, http.StatusBadRequest, "invalid_grant")
}

// TestAssertions: an app brings what an identity provider says of somebody, once
// signed by xmlsec1 and once as a JWT; the site lets that person in.
func TestAssertions(t *testing.T) {
	idp := newProvider(t)
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	issuers := filepath.Join(t.TempDir(), "issuer.json")
	err = os.WriteFile(issuers, fmt.Appendf(nil, `{"issuer":"https://login.example","jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"%s"}]}}`,
		base64.RawURLEncoding.EncodeToString(public)), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "--saml-idp", idp.metadata, "--jwt-issuer", issuers)
	s := w.withoutUsers()
	a := w.register("Portal", "private_key_jwt",
		"--grant-type", "urn:ietf:params:oauth:grant-type:saml2-bearer", "--grant-type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
	target := w.discover(a, s.API)
	present := func(grant, assertion string) (*app.Tokens, error) {
		return a.Ask(w.ctx, target, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:" + grant}, "assertion": {assertion},
			"resource": {target.Resource}, "scope": {site.ReadNotes},
		})
	}
	now := time.Now()
	for grant, assertion := range map[string]string{
		"saml2-bearer": idp.assertion(w.broker.Issuer, now),
		"jwt-bearer": app.SignJWT(key, map[string]any{"alg": "EdDSA", "typ": "JWT"}, map[string]any{
			"iss": "https://login.example", "sub": "alice", "aud": w.broker.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Unix() + 300,
		}),
	} {
		tokens, err := present(grant, assertion)
		if err != nil {
			t.Fatalf("%s: %v", grant, err)
		}
		answer := w.call(a, target, tokens, http.StatusOK)
		if !strings.Contains(answer.Body, " of "+w.broker.Issuer) || strings.Contains(answer.Body, "alice") {
			t.Errorf("%s: the site sees %q", grant, answer.Body)
		}
		_, err = present(grant, assertion)
		w.wantError(err, http.StatusBadRequest, "invalid_grant")
	}
	for name, assertion := range map[string]string{
		"another recipient": idp.assertion("https://other.example", now),
		"of yesterday":      idp.assertion(w.broker.Issuer, now.Add(-24*time.Hour)),
	} {
		if _, err := present("saml2-bearer", assertion); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			w.wantError(err, http.StatusBadRequest, "invalid_grant")
		}
	}
}

// provider is an identity provider: a key, metadata, and xmlsec1.
type provider struct {
	t             testing.TB
	dir, metadata string
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp.example"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, dir: t.TempDir()}
	p.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	p.metadata = p.write("metadata.xml", fmt.Appendf(nil, `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"`+
		` entityID="https://idp.example"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`+
		`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s`+
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor></md:EntityDescriptor>`,
		base64.StdEncoding.EncodeToString(certificate)))
	return p
}

func (p *provider) write(name string, data []byte) string {
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// assertion has xmlsec1 sign what the provider says to a broker at a time.
func (p *provider) assertion(issuer string, at time.Time) string {
	p.t.Helper()
	const day = time.RFC3339
	id, from, until := "_"+rand.Text(), at.UTC().Format(day), at.Add(5*time.Minute).UTC().Format(day)
	p.write("assertion.xml", fmt.Appendf(nil, `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="%[1]s" Version="2.0"`+
		` IssueInstant="%[2]s"><saml:Issuer>https://idp.example</saml:Issuer>`+
		`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>`+
		`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`+
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#%[1]s"><ds:Transforms>`+
		`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`+
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>`+
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo>`+
		`<ds:SignatureValue/></ds:Signature><saml:Subject><saml:NameID>alice</saml:NameID>`+
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="%[3]s"`+
		` Recipient="%[4]s/oauth/token"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="%[2]s" NotOnOrAfter="%[3]s">`+
		`<saml:AudienceRestriction><saml:Audience>%[4]s</saml:Audience></saml:AudienceRestriction></saml:Conditions>`+
		`<saml:AuthnStatement AuthnInstant="%[2]s"><saml:AuthnContext><saml:AuthnContextClassRef>`+
		`urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`+
		`</saml:Assertion>`, id, from, until, issuer))
	cmd := exec.Command("xmlsec1", "--sign", "--privkey-pem", "key.pem", "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion", "assertion.xml")
	cmd.Dir = p.dir
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("xmlsec1, of the package of that name: %v\n%s", err, failure.String())
	}
	return base64.RawURLEncoding.EncodeToString(out.Bytes())
}
