// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestRefusedDocument (fault 21): documents around the original signature. Where vouched
// is set, xmlsec1 finds it valid in the document: so it was either changed
// where no signature looks, or two parsers differ about it.
func TestRefusedDocument(t *testing.T) {
	const (
		declaration = `<?xml version="1.0" encoding="UTF-8"?>`
		laughs      = `<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>`
	)
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	original := take(t, p.sign(t, template)).signed
	change := func(pairs ...string) string { return edit(t, original, pairs...) }
	utf16le := func(s string) string {
		var b bytes.Buffer
		for _, unit := range utf16.Encode([]rune("\ufeff" + s)) {
			b.Write([]byte{byte(unit), byte(unit >> 8)})
		}
		return b.String()
	}
	// Signed with a processing instruction: canonicalisation keeps it.
	instruction := p.sign(t, edit(t, template, "alice@example.com", "alice@example.com<?x?>.evil.example"))

	for _, c := range []struct {
		name     string
		document string
		vouched  bool
		sentence string
	}{
		{"a comment in the name", change("alice@example.com", "alice@<!-- -->example.com"), true, "has a comment"},
		{"a comment that cuts the name", change("alice@example.com", "alice@example.com<!---->"), true, "has a comment"},
		{"a comment in the issuer", change("<saml:Issuer>", "<saml:Issuer><!-- -->"), true, "has a comment"},
		{"a comment before the assertion", "<!-- -->" + original, true, "has a comment"},
		{"a comment behind the assertion", original + "<!-- -->", true, "has a comment"},
		{"a comment in the signature", change("<ds:SignedInfo>", "<ds:SignedInfo><!-- -->"), true, "has a comment"},
		{"a comment in the digest", change("<ds:DigestValue>", "<ds:DigestValue><!-- -->"), true, "has a comment"},
		{"CDATA in the name", change("alice@example.com", "<![CDATA[alice@]]>example.com"), true, "CDATA"},
		{"an instruction in the name", instruction, true, "processing instruction"},
		{"an instruction before the assertion", "<?xml-stylesheet href='x'?>" + original, true, "processing instruction"},
		{"an instruction behind the declaration", declaration + "<?x?>" + original, true, "processing instruction"},

		{"a document type", `<!DOCTYPE Assertion>` + original, true, "document type"},
		{"an entity", `<!DOCTYPE a [<!ENTITY who "alice">]>` + change("alice@", "&who;@"), false, "document type"},
		{"an entity from a file", `<!DOCTYPE a [<!ENTITY who SYSTEM "file:///etc/hostname">]>` + change("alice@", "&who;@"), false, "document type"},
		{"a parameter entity", `<!DOCTYPE a [<!ENTITY % x SYSTEM "https://evil.example/x"> %x;]>` + original, true, "document type"},
		{"an attribute by default", `<!DOCTYPE a [<!ATTLIST saml:NameID Format CDATA "x">]>` + original, true, "document type"},
		{"an entity of entities", laughs + change("alice@", "&d;@"), false, "document type"},
		{"a document type behind the declaration", declaration + laughs + original, true, "document type"},
		{"an entity of nobody", change("alice@", "&who;@"), false, "not well-formed"},

		{"two documents", original + original, false, "not one element"},
		{"text behind", original + "x", false, "not one element"},
		{"text before", "x" + original, false, "not one element"},
		{"a mark of the byte order", "\ufeff" + original, true, "not one element"},
		{"nothing but white space", " \n", false, "not one element"},
		{"Latin 1", edit(t, declaration, "UTF-8", "ISO-8859-1") + original, true, "not well-formed XML in UTF-8"},
		{"UTF-16", utf16le(original), true, "not well-formed XML in UTF-8"},
		{"UTF-16, declared", utf16le(edit(t, declaration, "UTF-8", "UTF-16") + original), true, "not well-formed XML in UTF-8"},
		{"UTF-7", edit(t, declaration, "UTF-8", "UTF-7") + original, false, "not well-formed XML in UTF-8"},
		{"XML 1.1", edit(t, declaration, "1.0", "1.1") + original, true, "not well-formed"},
		{"bytes that are no UTF-8", change("alice@", "alice\xff@"), false, "not well-formed"},
		{"a character that XML has not", change("alice@", "alice&#0;@"), false, "not well-formed"},
		{"an element left open", strings.TrimSuffix(original, "</saml:Assertion>"), false, "not well-formed"},
		{"elements crossed", change("</saml:NameID>", "</saml:Subject>"), false, "not well-formed"},

		{"another element", change("saml:Assertion", "saml:EncryptedAssertion"), false, "not one saml:Assertion"},
		{"an assertion of SAML 1.1", change(`xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, `xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion"`), false, "not one saml:Assertion"},
		{"an assertion of no namespace", change(` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, ``, "saml:", ""), false, "not one saml:Assertion"},
		{"a prefix that is not declared", change("<saml:Subject>", "<s:Subject>", "</saml:Subject>", "</s:Subject>"), false, "prefix of an element"},
		{"a prefix of an attribute that is not declared", change("<saml:NameID ", "<saml:NameID x:Format='y' "), false, "prefix of an attribute"},
		{"a prefix that is given up", change("<saml:NameID ", "<saml:NameID xmlns:saml='' "), true, "name or prefix of an element"},
		{"a prefix for nothing", change("<saml:NameID ", "<saml:NameID xmlns:x='' "), true, "namespace declaration is malformed"},
		{"a prefix that means another namespace inside", change("<saml:NameID ", "<saml:NameID xmlns:saml='urn:evil' "), false, "does not verify"},
		{"the prefix xml for another namespace", change("<saml:NameID ", "<saml:NameID xmlns:xml='urn:evil' "), true, "namespace declaration is malformed"},
		{"the prefix xmlns", change("<saml:NameID ", "<saml:NameID xmlns:xmlns='urn:evil' "), true, "namespace declaration is malformed"},
		{"the namespace of xml by default", change("<saml:NameID ", "<saml:NameID xmlns='http://www.w3.org/XML/1998/namespace' "), true, "namespace declaration is malformed"},
		{"an element xml", change("alice@", "<xml:x/>alice@"), false, "prefix of an element"},
		{"two colons", change("<saml:NameID ", "<saml:NameID a:b:c='x' "), false, "not well-formed"},
		{"a colon before", change("<saml:NameID ", "<saml:NameID :Format='x' "), false, "name of an attribute is malformed"},
		{"a colon behind an element", change("saml:Subject>", "saml:>"), false, "name or prefix of an element"},
		{"an ID with a prefix before ours", change(` ID="_5f0c"`, ` saml:ID="_5f0c" ID="_evil"`), false, "Assertion has an attribute"},
		{"two IDs", change(` ID="_5f0c"`, ` ID="_5f0c" ID="_evil"`), false, "attribute is there twice"},
		{"two IDs, ours last", change(` ID="_5f0c"`, ` ID="_evil" ID="_5f0c"`), false, "attribute is there twice"},
		{"one attribute by two prefixes", change("<saml:NameID ", "<saml:NameID xmlns:a='u' xmlns:b='u' a:x='1' b:x='2' "), false, "attribute is there twice"},
		{"a prefix declared twice", change(`<saml:NameID `, `<saml:NameID xmlns:saml="urn:evil" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" `), false, "attribute is there twice"},

		{"too deep", change("alice@", strings.Repeat("<saml:x>", 14)+strings.Repeat("</saml:x>", 14)+"alice@"), false, "nested too deep"},
		{"far too deep", strings.Repeat("<a>", 12000), false, "nested too deep"},
		{"too many elements", change("</saml:Conditions>", "</saml:Conditions>"+strings.Repeat("<saml:AttributeStatement/>", 1000)), false, "too many elements"},
		{"too many attributes", change("<saml:NameID ", "<saml:NameID "+manyAttributes(17)), false, "too many elements or attributes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if vouched := p.vouches(t, c.document); vouched != c.vouched {
				t.Errorf("xmlsec1 finds it valid: %v", vouched)
			}
			refused(t, trust, c.document, expect, c.sentence)
		})
	}
}

func manyAttributes(count int) string {
	var s strings.Builder
	for i := range count {
		fmt.Fprintf(&s, `a%d="x" `, i)
	}
	return s.String()
}

// TestOtherSpellings: canonicalisation makes the same bytes of them, and the
// same is read.
func TestOtherSpellings(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	signed := p.sign(t, template)
	original := take(t, signed).signed
	for name, document := range map[string]string{
		"as xmlsec1 writes it":         signed,
		"a declaration that is ours":   `<?xml version="1.0" encoding="utf-8" standalone="yes"?>` + original,
		"white space around":           "\n " + original + "\r\n",
		"a namespace that nobody uses": edit(t, original, "<saml:Assertion ", `<saml:Assertion xmlns:evil="urn:evil" xmlns="urn:evil" `),
		"attributes in another order":  edit(t, original, ` ID="_5f0c"`, ``, ` Version="2.0"`, ` Version='2.0' ID = "&#x5f;5f0c"`),
		"characters by number":         edit(t, original, "alice@", "&#97;lice&#64;"),
		"an element with an end":       edit(t, original, "<saml:OneTimeUse/>", "<saml:OneTimeUse ></saml:OneTimeUse >"),
		"a signature in lines":         edit(t, original, "<ds:SignatureValue>", "<ds:SignatureValue>\r\n\t "),
	} {
		t.Run(name, func(t *testing.T) {
			if !p.vouches(t, document) {
				t.Error("xmlsec1 does not find the signature valid")
			}
			accepted(t, trust, document, expect, alice)
		})
	}
}

// TestEveryByte flips a bit of every byte. What is accepted all the same says
// what the original says, and the byte is not of what was signed: it is white
// space in a tag or in the signature's value, or in KeyInfo.
func TestEveryByte(t *testing.T) {
	p := newIDP(t, ecKey(elliptic.P256()))
	trust := p.trust(t)
	original := take(t, p.sign(t, edit(t, template, "#rsa-sha256", "#ecdsa-sha256"))).signed
	keyFrom, keyUntil := strings.Index(original, "<ds:KeyInfo>"), strings.Index(original, "</ds:KeyInfo>")
	for i := range len(original) {
		document := []byte(original)
		document[i] ^= []byte{0x01, 0x04, 0x20}[i%3]
		a, err := trust.Verify(parameter(string(document)), expect)
		switch {
		case err != nil && a == nil:
		case *a != alice:
			t.Fatalf("byte %d, %q: %+v", i, document[i], *a)
		case keyFrom < i && i < keyUntil:
		case strings.IndexByte(" \t\n\r", original[i]) >= 0 && strings.IndexByte(" \t\n\r", document[i]) >= 0:
		default:
			t.Errorf("byte %d, %q for %q, in …%s…: accepted", i, document[i], original[i], original[max(0, i-20):min(len(original), i+20)])
		}
	}
}

// TestEveryPrefix: no beginning of an assertion is one.
func TestEveryPrefix(t *testing.T) {
	p := newIDP(t, rsaKey())
	trust := p.trust(t)
	original := take(t, p.sign(t, template)).signed
	accepted(t, trust, original, expect, alice)
	for i := range len(original) {
		refused(t, trust, original[:i], expect, "")
	}
	whole := string(parameter(original))
	for i := len(whole) - 8; i < len(whole); i++ { // those before are prefixes of the document
		if a, err := trust.Verify([]byte(whole[:i]), expect); err == nil || a != nil {
			t.Fatalf("%d characters: %+v, %v", i, a, err)
		}
	}
}
