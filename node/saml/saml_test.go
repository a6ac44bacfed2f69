// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"crypto"
	"crypto/elliptic"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/saml"
)

// acceptedCase is an edit of the template that is accepted.
type acceptedCase struct {
	name  string
	curve elliptic.Curve // nil: RSA
	edits []string
	want  func(a *saml.Assertion) // nil: as the template
}

func (c acceptedCase) key() crypto.Signer {
	if c.curve == nil {
		return rsaKey()
	}
	return ecKey(c.curve)
}

func (c acceptedCase) says() saml.Assertion {
	a := alice
	if c.want != nil {
		c.want(&a)
	}
	return a
}

func acceptedCases() []acceptedCase {
	const (
		method   = `xmldsig-more#rsa-sha256`
		sha256   = `http://www.w3.org/2001/04/xmlenc#sha256`
		exc      = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
		subject  = `<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice@example.com</saml:NameID>`
		audience = `<saml:Audience>https://broker.example</saml:Audience>`
		endpoint = `<saml:Audience>https://broker.example/oauth/token</saml:Audience>`
	)
	return []acceptedCase{
		{name: "RSA with SHA-256"},
		{name: "RSA with SHA-384", edits: []string{method, `xmldsig-more#rsa-sha384`, sha256, `http://www.w3.org/2001/04/xmldsig-more#sha384`}},
		{name: "RSA with SHA-512", edits: []string{method, `xmldsig-more#rsa-sha512`, sha256, `http://www.w3.org/2001/04/xmlenc#sha512`}},
		{name: "P-256", curve: elliptic.P256(), edits: []string{method, `xmldsig-more#ecdsa-sha256`}},
		{name: "P-384", curve: elliptic.P384(), edits: []string{method, `xmldsig-more#ecdsa-sha384`}},
		{name: "P-521", curve: elliptic.P521(), edits: []string{method, `xmldsig-more#ecdsa-sha512`}},
		{name: "prefixes that values use", edits: []string{
			`<saml:Assertion `, `<saml:Assertion xmlns:xs="http://www.w3.org/2001/XMLSchema" `,
			exc, strings.Replace(exc, "/>", `><ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="xs"/></ds:Transform>`, 1),
			`</saml:Assertion>`, `<saml:AttributeStatement><saml:Attribute Name="groups"><saml:AttributeValue` +
				` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">Zürich &amp; Genève</saml:AttributeValue>` +
				`</saml:Attribute></saml:AttributeStatement></saml:Assertion>`,
		}},
		{name: "default namespaces", edits: []string{
			`xmlns:saml=`, `xmlns=`, `<saml:`, `<`, `</saml:`, `</`, `xmlns:ds=`, `xmlns=`, `<ds:`, `<`, `</ds:`, `</`,
		}},
		{name: "declaration, single quotes and lines", edits: []string{
			`<saml:Assertion `, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<saml:Assertion\n\t", `"`, `'`,
			`<saml:Issuer>`, "\n  <saml:Issuer>", `<saml:Subject>`, "\n  <saml:Subject>\n    ", `<ds:SignedInfo>`, "\n<ds:SignedInfo>\n",
			audience, "<saml:Audience>\n" + issuer + "\n</saml:Audience>",
		}},
		{name: "no KeyInfo", edits: []string{`<ds:KeyInfo><ds:X509Data/></ds:KeyInfo>`, ``}},
		{name: "no format", edits: []string{` Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"`, ``},
			want: func(a *saml.Assertion) { a.Format = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified" }},
		{name: "qualifiers", edits: []string{`<saml:NameID `, `<saml:NameID NameQualifier="` + entityID + `" SPNameQualifier="` + issuer + `" `}},
		{name: "characters that XML escapes", edits: []string{subject, `<saml:NameID>a&amp;b &lt;&#233;&gt;</saml:NameID>`},
			want: func(a *saml.Assertion) {
				a.Subject, a.Format = "a&b <é>", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
			}},
		{name: "the token endpoint as the audience", edits: []string{audience, endpoint}},
		{name: "one audience of several", edits: []string{audience, `<saml:Audience>https://other.example</saml:Audience>` + audience}},
		{name: "two restrictions", edits: []string{`</saml:AudienceRestriction>`, `</saml:AudienceRestriction><saml:AudienceRestriction>` + endpoint + `</saml:AudienceRestriction>`}},
		{name: "no authentication", edits: []string{
			template[strings.Index(template, `<saml:AuthnStatement`):strings.Index(template, `</saml:Assertion>`)], ``,
		}, want: func(a *saml.Assertion) { a.AuthenticatedAt = time.Time{} }},
		{name: "no times in conditions", edits: []string{`<saml:Conditions NotBefore="2026-03-01T12:00:00Z" NotOnOrAfter="2026-03-01T12:05:00Z">`, `<saml:Conditions>`}},
		{name: "conditions within the skew", edits: []string{
			`<saml:Conditions NotBefore="2026-03-01T12:00:00Z" NotOnOrAfter="2026-03-01T12:05:00Z">`,
			`<saml:Conditions NotBefore="2026-03-01T12:02:00Z" NotOnOrAfter="2026-03-01T12:00:00.1Z">`,
		}},
		{name: "a second confirmation, later", edits: []string{`</saml:Subject>`, `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
			`<saml:SubjectConfirmationData NotOnOrAfter="2026-03-01T12:30:00.000001Z" Recipient="` + recipient + `" InResponseTo="_q" Address="192.0.2.1"/>` +
			`</saml:SubjectConfirmation></saml:Subject>`},
			want: func(a *saml.Assertion) { a.ExpiresAt = time.Date(2026, 3, 1, 12, 30, 1, 0, time.UTC) }},
		{name: "a second confirmation, for another", edits: []string{`</saml:Subject>`, `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
			`<saml:SubjectConfirmationData NotOnOrAfter="2026-03-01T12:30:00Z" Recipient="https://other.example/acs"/></saml:SubjectConfirmation></saml:Subject>`}},
	}
}

// TestAccepted: what xmlsec1 signs is accepted, and read as it was written.
func TestAccepted(t *testing.T) {
	for _, c := range acceptedCases() {
		t.Run(c.name, func(t *testing.T) {
			p := newIDP(t, c.key())
			accepted(t, p.trust(t), p.sign(t, edit(t, template, c.edits...)), expect, c.says())
		})
	}
}

// TestTimes: the last moment that is accepted, and the first that is not.
func TestTimes(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	document := p.sign(t, template)
	at := func(d time.Duration) saml.Expect {
		e := expect
		e.Now = now.Add(d)
		return e
	}
	accepted(t, trust, document, at(-2*time.Minute), alice)
	refused(t, trust, document, at(-2*time.Minute-1), "future")
	accepted(t, trust, document, at(4*time.Minute-1), alice)
	refused(t, trust, document, at(4*time.Minute), "SubjectConfirmation is over")

	conditions := edit(t, template, `NotOnOrAfter="2026-03-01T12:05:00Z" Recipient`, `NotOnOrAfter="2026-03-01T13:00:00Z" Recipient`)
	want := alice
	want.ExpiresAt = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	document = p.sign(t, conditions)
	accepted(t, trust, document, at(5*time.Minute-1), want)
	refused(t, trust, document, at(5*time.Minute), "Conditions hold no longer")
	refused(t, trust, document, at(-2*time.Hour), "future")

	document = p.sign(t, edit(t, conditions, `2026-03-01T12:00:00Z" NotOnOrAfter`, `2026-03-01T12:02:00Z" NotOnOrAfter`))
	accepted(t, trust, document, at(0), want)
	refused(t, trust, document, at(-1), "do not hold yet")

	want.ExpiresAt = time.Date(2026, 3, 1, 14, 1, 0, 0, time.UTC)
	document = p.sign(t, edit(t, template, `NotOnOrAfter="2026-03-01T12:05:00Z" Recipient`, `NotOnOrAfter="2026-03-01T14:01:00Z" Recipient`))
	accepted(t, trust, document, at(0), want)
	refused(t, trust, document, at(-1), "more than 2 h")
}

// TestSize (fault 21): the bound is that of the parameter.
func TestSize(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	fill := func(length int) string {
		statement := `<saml:AttributeStatement><saml:Attribute Name="groups"><saml:AttributeValue>` + strings.Repeat("x", length) +
			`</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`
		return p.sign(t, edit(t, template, `</saml:Assertion>`, statement))
	}
	length := 48<<10 - len(fill(1)) + 1
	accepted(t, trust, fill(length), expect, alice)
	refused(t, trust, fill(length+1), expect, "longer than 64 KiB")
	refused(t, trust, fill(1<<20), expect, "longer than 64 KiB")
}

// TestSpelling: the parameter has one spelling, RFC 7522, section 2.1.
func TestSpelling(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	document := strings.TrimSpace(p.sign(t, template))
	for len(document)%3 != 1 {
		document += "\n"
	}
	good := string(parameter(document))
	if _, err := trust.Verify([]byte(good), expect); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"XML":           document,
		"padding":       good + "==",
		"lines":         good[:76] + "\r\n" + good[76:],
		"stray bits":    good[:len(good)-1] + string(good[len(good)-1]+1),
		"plain base64":  strings.Replace(good, good[40:42], "+/", 1),
		"percent":       good + "%3D",
		"a cut in four": good[:len(good)-1],
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := trust.Verify([]byte(bad), expect); !errors.Is(err, saml.ErrRefused) {
				t.Fatalf("%v: want a refusal", err)
			}
		})
	}
}

// TestExpect: who forgets to say what to expect gets no assertion, and not the
// error that is the client's.
func TestExpect(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	nowhere := p.sign(t, edit(t, template, `Recipient="`+recipient+`"`, `Recipient=""`))
	nobody := p.sign(t, edit(t, template, `>https://broker.example<`, `><`))
	for _, c := range []struct {
		name, document string
		e              saml.Expect
	}{
		{"recipient", nowhere, saml.Expect{Audience: []string{issuer}, Now: now}},
		{"audience", nobody, saml.Expect{Recipient: recipient, Now: now}},
		{"an audience", nobody, saml.Expect{Audience: []string{issuer, ""}, Recipient: recipient, Now: now}},
		{"time", nobody, saml.Expect{Audience: []string{issuer}, Recipient: recipient}},
	} {
		if a, err := trust.Verify(parameter(c.document), c.e); err == nil || a != nil || errors.Is(err, saml.ErrRefused) {
			t.Errorf("without %s: %v, %v", c.name, a, err)
		}
	}
}
