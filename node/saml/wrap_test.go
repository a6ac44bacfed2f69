// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"strings"
	"testing"
)

// pieces of a signed assertion, to be put together in other ways.
type pieces struct {
	signed    string // the assertion, without an XML declaration
	signature string // its signature
	bare      string // it, without its signature
	evil      string // as bare, with another ID, about mallory
}

func take(t testing.TB, signed string) pieces {
	t.Helper()
	signed = signed[strings.Index(signed, "<saml:Assertion"):]
	signed = strings.TrimSpace(signed)
	from, until := strings.Index(signed, "<ds:Signature "), strings.Index(signed, "</ds:Signature>")+len("</ds:Signature>")
	p := pieces{signed: signed, signature: signed[from:until], bare: signed[:from] + signed[until:]}
	p.evil = edit(t, p.bare, "_5f0c", "_evil", "alice@", "mallory@")
	return p
}

// withSignature puts something where the signature belongs.
func withSignature(assertion, what string) string {
	return strings.Replace(assertion, "</saml:Issuer>", "</saml:Issuer>"+what, 1)
}

// inSignature puts something at the end of the signature.
func (p pieces) inSignature(what string) string {
	return strings.TrimSuffix(p.signature, "</ds:Signature>") + what + "</ds:Signature>"
}

// atEnd puts something at the end of an assertion.
func atEnd(assertion, what string) string {
	return strings.TrimSuffix(assertion, "</saml:Assertion>") + what + "</saml:Assertion>"
}

func object(what string) string { return "<ds:Object>" + what + "</ds:Object>" }
func advice(what string) string { return "<saml:Advice>" + what + "</saml:Advice>" }
func extensions(what string) string {
	return "<samlp:Extensions xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\">" + what + "</samlp:Extensions>"
}

func response(what string) string {
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0" IssueInstant="2026-03-01T12:00:00Z">` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` + what + `</samlp:Response>`
}

type wrapping struct {
	name, document string
	vouched        bool
}

// wrappings are the forms of signature wrapping (Somorovsky et al., On Breaking
// SAML, 2012, as the tools number them), each with the original signature over
// the original assertion, and something of mallory around, before, behind or
// inside of it. The tools send Responses; here is the same around an Assertion
// too. Where xmlsec1 finds no signature valid (not vouched), it is since the
// original lies in the signature, all of which it leaves out of the digest, or
// since the schema does not allow it; other implementations do find it valid.
func (p pieces) wrappings() []wrapping {
	return []wrapping{
		{"1: the original in the signature of the forgery", withSignature(p.evil, p.inSignature(p.bare)), false},
		{"2: the original before the signature", withSignature(p.evil, p.bare+p.signature), true},
		{"2: the original behind the signature", withSignature(p.evil, p.signature+p.bare), true},
		{"3: the forgery before the original", response(p.evil + p.signed), true},
		{"3: two assertions, the forgery behind", response(p.signed + p.evil), true},
		{"3: the original first in the forgery", strings.Replace(p.evil, "<saml:Issuer>", p.signed+"<saml:Issuer>", 1), true},
		{"4: the original in the forgery", response(atEnd(p.evil, p.signed)), true},
		{"4: the original at the end of the forgery", atEnd(p.evil, p.signed), true},
		{"4: the original in the place of the signature", withSignature(p.evil, p.signed), true},
		{"5: signature in the forgery, the original at the end", response(withSignature(p.evil, p.signature) + p.bare), true},
		{"5: signature in the forgery, the original in its advice", atEnd(withSignature(p.evil, p.signature), advice(p.bare)), true},
		{"6: the original in the signature, in a response", response(withSignature(p.evil, p.inSignature(p.bare))), false},
		{"7: the forgery in extensions", response(extensions(p.evil) + p.signed), true},
		{"7: the original in extensions of the forgery", atEnd(p.evil, extensions(p.signed)), true},
		{"7: the original in the advice of the forgery", atEnd(p.evil, advice(p.signed)), true},
		{"8: the original in an object of the signature", response(withSignature(p.evil, p.inSignature(object(p.bare)))), false},
		{"8: the same without a response", withSignature(p.evil, p.inSignature(object(p.bare))), false},
		{"9: the forgery in an object of the signature", withSignature(p.bare, p.inSignature(object(p.evil))), true},
		{"9: the forgery in the signature", withSignature(p.bare, p.inSignature(p.evil)), false},
		{"9: the forgery in the key", withSignature(p.bare, strings.Replace(p.signature, "<ds:X509Data>", p.evil+"<ds:X509Data>", 1)), true},
		{"9: the same, in a response", response(withSignature(p.bare, p.inSignature(object(p.evil)))), true},
		{"a response around the original", response(p.signed), true},
	}
}

// TestWrapping (fault 21): whoever checks the signature and reads another element than
// the one that was signed has been had.
func TestWrapping(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	for _, w := range take(t, p.sign(t, template)).wrappings() {
		t.Run(w.name, func(t *testing.T) {
			if vouched := p.vouches(t, w.document); vouched != w.vouched {
				t.Errorf("xmlsec1 finds it valid: %v", vouched)
			}
			refused(t, trust, w.document, expect, "")
		})
	}
}

// TestUnsignedPart: KeyInfo is not signed and is not looked at; nothing in it
// changes what is read.
func TestUnsignedPart(t *testing.T) {
	p := newIDP(t, rsaKey())
	pieces := take(t, p.sign(t, template))
	subject := pieces.evil[strings.Index(pieces.evil, "<saml:Subject>"):strings.Index(pieces.evil, "<saml:Conditions")]
	for _, document := range []string{
		edit(t, pieces.signed, "<ds:X509Data>", subject+"<ds:X509Data>"),
		edit(t, pieces.signed, "<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>another</ds:KeyName>"),
		edit(t, pieces.signed, between(t, pieces.signed, "<ds:X509Data>", "</ds:X509Data>"), ""),
	} {
		accepted(t, p.trust(t), document, expect, alice)
	}
}
