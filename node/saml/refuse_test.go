// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/saml"
)

// TestRefusedContent (fault 21): the identity provider signed it, and it is refused.
func TestRefusedContent(t *testing.T) {
	const (
		name         = `<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice@example.com</saml:NameID>`
		confirmation = `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
			`<saml:SubjectConfirmationData NotOnOrAfter="2026-03-01T12:05:00Z" Recipient="https://broker.example/oauth/token"/></saml:SubjectConfirmation>`
		data       = `<saml:SubjectConfirmationData NotOnOrAfter="2026-03-01T12:05:00Z" Recipient="https://broker.example/oauth/token"/>`
		conditions = `<saml:Conditions NotBefore="2026-03-01T12:00:00Z" NotOnOrAfter="2026-03-01T12:05:00Z">`
		audience   = `<saml:Audience>https://broker.example</saml:Audience>`
		authn      = `<saml:AuthnStatement AuthnInstant="2026-03-01T11:59:58Z" SessionIndex="_s1">`
		issuerName = `<saml:Issuer>https://idp.example/metadata</saml:Issuer>`
		once       = `<saml:OneTimeUse/>`
	)
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	for _, c := range []struct {
		name     string
		edits    []string
		sentence string
	}{
		{"another version", []string{`Version="2.0"`, `Version="1.1"`}, "Version is not 2.0"},
		{"no version", []string{` Version="2.0"`, ``}, "Assertion has no Version"},
		{"no time of issue", []string{` IssueInstant="2026-03-01T12:00:00Z"`, ``}, "Assertion has no IssueInstant"},
		{"issued in the future", []string{`IssueInstant="2026-03-01T12:00`, `IssueInstant="2026-03-01T12:03`}, "IssueInstant is in the future"},
		{"a time with an offset", []string{`IssueInstant="2026-03-01T12:00:00Z`, `IssueInstant="2026-03-01T12:00:00+00:00`}, "a time is not written"},
		{"a time without a zone", []string{`IssueInstant="2026-03-01T12:00:00Z`, `IssueInstant="2026-03-01T12:00:00`}, "a time is not written"},
		{"a time of another calendar", []string{`IssueInstant="2026-03-01T`, `IssueInstant="2026-02-30T`}, "a time is not written"},
		{"a fraction with a comma", []string{`IssueInstant="2026-03-01T12:00:00Z`, `IssueInstant="2026-03-01T12:00:00,5Z`}, "a time is not written"},
		{"an ID that is no name", []string{`_5f0c`, `5f0c`}, "ID is malformed"},
		{"a long ID", []string{`_5f0c`, strings.Repeat("a", 257)}, "ID is malformed or too long"},
		{"an attribute too many", []string{` Version=`, ` Role="admin" Version=`}, "Assertion has an attribute that is not known"},
		{"a statement too many", []string{`</saml:Assertion>`, `<saml:AuthzDecisionStatement Resource="x" Decision="Permit"><saml:Action Namespace="x">y</saml:Action></saml:AuthzDecisionStatement></saml:Assertion>`},
			"an element in Assertion that is not known"},
		{"text among the elements", []string{`<saml:Subject>`, `alice<saml:Subject>`}, "text between elements"},

		{"no issuer", []string{issuerName, ``}, "no Issuer at the start"},
		{"another issuer", []string{`<saml:Issuer>https://idp.example/metadata`, `<saml:Issuer>https://other.example/metadata`}, "not an identity provider that is trusted"},
		{"an issuer with white space", []string{issuerName, `<saml:Issuer> https://idp.example/metadata</saml:Issuer>`}, "not an identity provider that is trusted"},
		{"an issuer of another format", []string{`<saml:Issuer>`, `<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">`}, "Format of the Issuer"},
		{"an issuer with a qualifier", []string{`<saml:Issuer>`, `<saml:Issuer NameQualifier="x">`}, "Issuer has an attribute"},
		{"two issuers", []string{`<saml:Conditions `, issuerName + `<saml:Conditions `}, "more than one Issuer"},
		{"an element in the issuer", []string{issuerName, `<saml:Issuer>https://idp.example/metadata<saml:x/></saml:Issuer>`}, "more than text in Issuer"},

		{"no subject", []string{`<saml:Subject>` + name + confirmation + `</saml:Subject>`, ``}, "no Subject in Assertion"},
		{"two subjects", []string{`</saml:Subject>`, `</saml:Subject><saml:Subject>` + name + confirmation + `</saml:Subject>`}, "more than one Subject"},
		{"no name", []string{name, ``}, "no NameID in Subject"},
		{"two names", []string{name, name + `<saml:NameID>mallory</saml:NameID>`}, "more than one NameID"},
		{"a name without namespace", []string{`<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">`, `<NameID>`, `</saml:NameID>`, `</NameID>`}, "element in Subject that is not known"},
		{"a name of another namespace", []string{`<saml:NameID `, `<x:NameID xmlns:x="urn:x" `, `</saml:NameID>`, `</x:NameID>`}, "element in Subject that is not known"},
		{"an encrypted name", []string{name, `<saml:EncryptedID/>`}, "element in Subject that is not known"},
		{"an empty name", []string{`alice@example.com`, ``}, "NameID is empty"},
		{"a name of white space", []string{`alice@example.com`, ` `}, "NameID is empty"},
		{"a name with white space before it", []string{`alice@example.com`, "\n  alice@example.com"}, "white space around it"},
		{"a name with a hard space after it", []string{`alice@example.com`, "alice@example.com&#160;"}, "white space around it"},
		{"a name in two lines", []string{`alice@example.com`, "alice&#10;@example.com"}, "control characters"},
		{"a name with a direction", []string{`alice@example.com`, "alice\u202e@example.com"}, "control characters"},
		{"a long name", []string{`alice@example.com`, strings.Repeat("a", 257)}, "too long"},
		{"an element in the name", []string{`alice@example.com`, `alice@example.com<saml:x>.evil.example</saml:x>`}, "more than text in NameID"},
		{"a name of another provider", []string{`<saml:NameID `, `<saml:NameID NameQualifier="https://other.example/metadata" `}, "NameQualifier is not"},
		{"a name for another server", []string{`<saml:NameID `, `<saml:NameID SPNameQualifier="https://other.example" `}, "SPNameQualifier is not"},
		{"a type for the name", []string{`<saml:NameID `, `<saml:NameID xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="saml:x" `}, "NameID has an attribute"},

		{"no confirmation", []string{confirmation, ``}, "no SubjectConfirmation in Subject"},
		{"holder of key", []string{`cm:bearer`, `cm:holder-of-key`}, "method bearer"},
		{"no method", []string{` Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"`, ``}, "SubjectConfirmation has no Method"},
		{"no data", []string{data, ``}, "no SubjectConfirmationData"},
		{"another recipient", []string{`Recipient="https://broker.example/oauth/token"`, `Recipient="https://other.example/oauth/token"`}, "Recipient is not " + recipient},
		{"the issuer as the recipient", []string{`Recipient="https://broker.example/oauth/token"`, `Recipient="https://broker.example"`}, "Recipient is not " + recipient},
		{"the recipient with a slash", []string{`Recipient="https://broker.example/oauth/token"`, `Recipient="https://broker.example/oauth/token/"`}, "Recipient is not " + recipient},
		{"no recipient", []string{` Recipient="https://broker.example/oauth/token"`, ``}, "SubjectConfirmationData has no Recipient"},
		{"a recipient with a prefix", []string{` Recipient="https://broker.example/oauth/token"`, ` saml:Recipient="https://broker.example/oauth/token"`}, "SubjectConfirmationData has an attribute"},
		{"no end", []string{`NotOnOrAfter="2026-03-01T12:05:00Z" Recipient`, `Recipient`}, "SubjectConfirmationData has no NotOnOrAfter"},
		{"over", []string{`NotOnOrAfter="2026-03-01T12:05:00Z" Recipient`, `NotOnOrAfter="2026-03-01T12:01:00Z" Recipient`}, "SubjectConfirmation is over"},
		{"a year", []string{`NotOnOrAfter="2026-03-01T12:05:00Z" Recipient`, `NotOnOrAfter="2027-03-01T12:01:00Z" Recipient`}, "more than 2 h"},
		{"a beginning", []string{`<saml:SubjectConfirmationData `, `<saml:SubjectConfirmationData NotBefore="2026-03-01T12:00:00Z" `}, "SubjectConfirmationData has an attribute"},
		{"a key", []string{data, strings.TrimSuffix(data, "/>") + `><saml:x/></saml:SubjectConfirmationData>`}, "element in SubjectConfirmationData"},
		{"somebody who acts for the subject", []string{data, `<saml:NameID>bob</saml:NameID>` + data}, "element in SubjectConfirmation that is not known"},

		{"no conditions", []string{conditions + `<saml:AudienceRestriction>` + audience + `</saml:AudienceRestriction>` + once + `</saml:Conditions>`, ``}, "no Conditions in Assertion"},
		{"conditions not yet", []string{`<saml:Conditions NotBefore="2026-03-01T12:00:00Z"`, `<saml:Conditions NotBefore="2026-03-01T12:02:01Z"`}, "do not hold yet"},
		{"conditions over", []string{`NotOnOrAfter="2026-03-01T12:05:00Z">`, `NotOnOrAfter="2026-03-01T12:00:00Z">`}, "hold no longer"},
		{"a condition without a form", []string{`NotOnOrAfter="2026-03-01T12:05:00Z">`, `NotOnOrAfter="">`}, "a time is not written"},
		{"an unknown condition", []string{once, `<saml:Condition/>`}, "element in Conditions that is not known"},
		{"no audience restriction", []string{`<saml:AudienceRestriction>` + audience + `</saml:AudienceRestriction>`, ``}, "no AudienceRestriction in Conditions"},
		{"no audience", []string{audience, ``}, "no Audience in AudienceRestriction"},
		{"another audience", []string{audience, `<saml:Audience>https://other.example</saml:Audience>`}, "no Audience is " + issuer + " or " + recipient},
		{"an audience that begins like ours", []string{audience, `<saml:Audience>https://broker.example.evil.example</saml:Audience>`}, "no Audience is"},
		{"two restrictions, one not for us", []string{`</saml:AudienceRestriction>`, `</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>`}, "no Audience is"},

		{"authentication in the future", []string{`2026-03-01T11:59:58Z`, `2026-03-01T12:03:00Z`}, "AuthnInstant is in the future"},
		{"authentication at no time", []string{`AuthnInstant="2026-03-01T11:59:58Z" `, ``}, "AuthnStatement has no AuthnInstant"},
		{"a session that is over", []string{authn, strings.TrimSuffix(authn, ">") + ` SessionNotOnOrAfter="2026-03-01T12:00:00Z">`}, "session at the identity provider is over"},
		{"two authentications", []string{`</saml:Assertion>`, authn + `</saml:AuthnStatement></saml:Assertion>`}, "more than one AuthnStatement"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, trust, p.sign(t, edit(t, template, c.edits...)), expect, c.sentence)
		})
	}
}

// TestRefusedSignature (fault 21): xmlsec1 made the signature and finds it valid, and its
// form is not the one that is accepted.
func TestRefusedSignature(t *testing.T) {
	const (
		method    = `http://www.w3.org/2001/04/xmldsig-more#rsa-sha256`
		sha256    = `http://www.w3.org/2001/04/xmlenc#sha256`
		c14n      = `<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
		exc       = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
		enveloped = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`
		inclusive = `http://www.w3.org/TR/2001/REC-xml-c14n-20010315`
		prefixes  = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="saml"/>`
	)
	reference := template[strings.Index(template, `<ds:Reference `) : strings.Index(template, `</ds:Reference>`)+len(`</ds:Reference>`)]
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	for _, c := range []struct {
		name     string
		edits    []string
		sentence string
		after    bool // edited after it was signed, since xmlsec1 signs no such thing
	}{
		{"RSA with SHA-1", []string{method, `http://www.w3.org/2000/09/xmldsig#rsa-sha1`}, "algorithm of SignatureMethod", false},
		{"a digest of SHA-1", []string{sha256, `http://www.w3.org/2000/09/xmldsig#sha1`}, "algorithm of DigestMethod", false},
		{"a digest of SHA-224", []string{sha256, `http://www.w3.org/2001/04/xmldsig-more#sha224`}, "algorithm of DigestMethod", false},
		{"inclusive canonicalisation of the signature", []string{c14n, strings.Replace(c14n, "http://www.w3.org/2001/10/xml-exc-c14n#", inclusive, 1)}, "algorithm of CanonicalizationMethod", false},
		{"comments in the signature", []string{c14n, strings.Replace(c14n, "c14n#", "c14n#WithComments", 1)}, "algorithm of CanonicalizationMethod", false},
		{"prefixes in the signature", []string{c14n, strings.TrimSuffix(c14n, "/>") + ">" + prefixes + "</ds:CanonicalizationMethod>"}, "in CanonicalizationMethod that is not known", false},
		{"inclusive canonicalisation", []string{exc, strings.Replace(exc, "http://www.w3.org/2001/10/xml-exc-c14n#", inclusive, 1)}, "algorithm of Transform", false},
		{"with comments", []string{exc, strings.Replace(exc, "c14n#", "c14n#WithComments", 1)}, "algorithm of Transform", false},
		{"no canonicalisation", []string{exc, ``}, "the transforms are not", false},
		{"transforms the other way round", []string{enveloped + exc, exc + enveloped}, "algorithm of Transform", true},
		{"not enveloped", []string{enveloped, exc}, "algorithm of Transform", true},
		{"another signature in the advice", []string{`</saml:Conditions>`, `</saml:Conditions><saml:Advice><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/></saml:Advice>`}, "more than one Signature", false},
		{"canonicalised twice", []string{exc, exc + exc}, "the transforms are not", false},
		{"base64", []string{exc, `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/>`}, "algorithm of Transform", true},
		{"XPath", []string{exc, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(self::saml:NameID)</ds:XPath></ds:Transform>` + exc}, "the transforms are not", false},
		{"XPath in place of the canonicalisation", []string{exc, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(self::saml:NameID)</ds:XPath></ds:Transform>`}, "algorithm of Transform", false},
		{"XPath filter", []string{enveloped, `<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><dsig-xpath:XPath xmlns:dsig-xpath="http://www.w3.org/2002/06/xmldsig-filter2" Filter="subtract">//saml:NameID</dsig-xpath:XPath></ds:Transform>` + enveloped}, "the transforms are not", false},
		{"the whole document", []string{`URI="#_5f0c"`, `URI=""`}, "Reference of the signature is not to the ID", false},
		{"two references", []string{reference, reference + reference}, "more than one Reference", false},
		{"an object", []string{`</ds:KeyInfo>`, `</ds:KeyInfo><ds:Object>x</ds:Object>`}, "an element in Signature that is not known", false},
		{"two keys", []string{`</ds:KeyInfo>`, `</ds:KeyInfo><ds:KeyInfo/>`}, "more than one KeyInfo", true},
		{"at the end", []string{signatureTemplate, ``, `</saml:Assertion>`, signatureTemplate + `</saml:Assertion>`}, "no Signature after the Issuer", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var document string
			if c.after {
				document = edit(t, p.sign(t, template), c.edits...)
			} else if document = p.sign(t, edit(t, template, c.edits...)); !p.vouches(t, document) {
				t.Fatal("xmlsec1 does not find the signature valid")
			}
			refused(t, trust, document, expect, c.sentence)
		})
	}
}

// TestRefusedKey (fault 21): a signature by whom nobody here trusts for this Issuer.
func TestRefusedKey(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	const noMatch = "does not verify with any current certificate"
	const method = `xmldsig-more#rsa-sha256`

	t.Run("unsigned", func(t *testing.T) {
		refused(t, trust, edit(t, template, signatureTemplate, ``), expect, "no Signature after the Issuer")
	})
	t.Run("a template", func(t *testing.T) {
		refused(t, trust, template, expect, "SignatureValue is not base64")
	})
	t.Run("another key, with its certificate", func(t *testing.T) {
		other := newIDP(t, ecKey(elliptic.P256()))
		document := other.sign(t, edit(t, template, method, `xmldsig-more#ecdsa-sha256`))
		accepted(t, other.trust(t), document, expect, alice)
		refused(t, trust, document, expect, noMatch)
	})
	t.Run("another key, with the trusted certificate", func(t *testing.T) {
		other := newIDP(t, ecKey(elliptic.P256()))
		other.write(t, "certificate.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw}))
		document := other.xmlsec1(t, edit(t, template, method, `xmldsig-more#ecdsa-sha256`), "--sign", "--privkey-pem", "key.pem")
		refused(t, trust, document, expect, noMatch)
	})
	t.Run("a trusted provider for another", func(t *testing.T) {
		mine, other := newIDP(t, ecKey(elliptic.P256())), newIDP(t, rsaKey())
		other.write(t, "metadata.xml", []byte(edit(t, metadata(other.certificate), entityID, "https://other.example/metadata")))
		both, err := saml.Load([]string{mine.metadata, other.metadata})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, both, other.sign(t, template), expect, noMatch)
		document := other.sign(t, edit(t, template, entityID, "https://other.example/metadata"))
		want := alice
		want.Issuer = "https://other.example/metadata"
		accepted(t, both, document, expect, want)
	})
	// The public key as a secret: whoever computes HMAC over it has a
	// signature that a careless verifier finds valid.
	t.Run("HMAC", func(t *testing.T) {
		for _, hash := range []string{"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", "http://www.w3.org/2000/09/xmldsig#hmac-sha1"} {
			p.write(t, "public", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(rsaKey().Public()))}))
			document := p.xmlsec1(t, edit(t, template, "http://www.w3.org/2001/04/"+method, hash, `<ds:X509Data/>`, `<ds:KeyName/>`), "--sign", "--hmackey", "public")
			refused(t, trust, document, expect, "algorithm of SignatureMethod")
		}
	})
	t.Run("none", func(t *testing.T) {
		for _, none := range []string{"none", "", "http://www.w3.org/2000/09/xmldsig#none"} {
			document := edit(t, p.sign(t, template), "http://www.w3.org/2001/04/"+method, none)
			refused(t, trust, document, expect, "algorithm of SignatureMethod")
		}
	})
	t.Run("another method than the key's", func(t *testing.T) {
		document := edit(t, p.sign(t, template), method, "xmldsig-more#ecdsa-sha256")
		refused(t, trust, document, expect, noMatch)
	})
	// The library compares a Reference without its first character.
	t.Run("a reference that ends like the ID", func(t *testing.T) {
		document := edit(t, take(t, p.sign(t, template)).signed, `URI="#_5f0c"`, `URI="?_5f0c"`)
		info := between(t, document, "<ds:SignedInfo>", "</ds:SignedInfo>")
		canonical := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` +
			regexp.MustCompile(`<(ds:\w+)([^>]*)/>`).ReplaceAllString(info, "<$1$2></$1>") + `</ds:SignedInfo>`
		digest := sha256.Sum256([]byte(canonical))
		value := base64.StdEncoding.EncodeToString(must(rsaKey().Sign(nil, digest[:], crypto.SHA256)))
		document = edit(t, document, between(t, document, "<ds:SignatureValue>", "</ds:SignatureValue>"), value)
		refused(t, trust, document, expect, "Reference of the signature is not to the ID")
	})
	t.Run("stray bits", func(t *testing.T) {
		document := p.sign(t, template)
		value := strings.TrimRight(between(t, document, "<ds:SignatureValue>", "</ds:SignatureValue>"), "=\n")
		last := value[len(value)-1]
		refused(t, trust, edit(t, document, value, value[:len(value)-1]+string(last+1)), expect, "SignatureValue is not base64")
	})
	t.Run("ECDSA in ASN.1", func(t *testing.T) {
		ec := newIDP(t, ecKey(elliptic.P256()))
		document := ec.sign(t, edit(t, template, method, `xmldsig-more#ecdsa-sha256`))
		raw := between(t, document, "<ds:SignatureValue>", "</ds:SignatureValue>")
		value := must(base64.StdEncoding.DecodeString(raw))
		der := must(asn1.Marshal([]*big.Int{new(big.Int).SetBytes(value[:32]), new(big.Int).SetBytes(value[32:])}))
		accepted(t, ec.trust(t), document, expect, alice)
		refused(t, ec.trust(t), edit(t, document, raw, base64.StdEncoding.EncodeToString(der)), expect, noMatch)
	})
}

func between(t testing.TB, s, from, to string) string {
	t.Helper()
	_, s, _ = strings.Cut(s, from)
	s, _, ok := strings.Cut(s, to)
	if !ok {
		t.Fatalf("nothing between %s and %s", from, to)
	}
	return s
}
