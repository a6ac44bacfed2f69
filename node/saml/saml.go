// SPDX-License-Identifier: Apache-2.0

// Package saml verifies SAML 2.0 bearer assertions that are presented as
// authorization grants (RFC 7522). It does no I/O but for reading metadata
// once, holds no state and logs nothing.
//
// # Whom it trusts
//
// The files given to [Load], and nobody else: each is the metadata of one
// identity provider, and whoever holds a key of its IDPSSODescriptor may say
// anything about anybody under the entityID of that file, and under no other.
// Certificates inside of assertions are ignored. The metadata's own signature
// is not looked at, nor is any certificate's issuer: the operator vouches for
// the file.
//
// # Format
//
// The value of the parameter "assertion": one <saml:Assertion> as canonical
// base64url without padding, at most 64 KiB of it. For example, decoded:
//
//	<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"
//	    ID="_5f0c" Version="2.0" IssueInstant="2026-03-01T12:00:00Z">
//	  <saml:Issuer>https://idp.example/metadata</saml:Issuer>
//	  <ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">…</ds:Signature>
//	  <saml:Subject>
//	    <saml:NameID>alice@example.com</saml:NameID>
//	    <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
//	      <saml:SubjectConfirmationData NotOnOrAfter="2026-03-01T12:05:00Z"
//	          Recipient="https://broker.example/oauth/token"/>
//	    </saml:SubjectConfirmation>
//	  </saml:Subject>
//	  <saml:Conditions>
//	    <saml:AudienceRestriction>
//	      <saml:Audience>https://broker.example</saml:Audience>
//	    </saml:AudienceRestriction>
//	  </saml:Conditions>
//	</saml:Assertion>
//
// # What is checked
//
// The document: UTF-8, elements and text only. A comment, CDATA section,
// document type, entity or processing instruction anywhere refuses it before
// it is parsed. Every prefix is declared, no attribute is there twice, names
// are ASCII; see limits.go for its size.
//
// The signature: one, in the assertion, right after the Issuer; one reference,
// to the ID of the assertion; the transforms are enveloped signature and then
// exclusive canonicalisation; RSA (PKCS #1 v1.5) or ECDSA with SHA-256, 384 or
// 512; by a certificate of the Issuer that is valid now.
//
// What was signed, which alone is read from here on: the canonical bytes are
// parsed again, and the input is forgotten. So it does not matter what else was
// in the input or where (signature wrapping), but such input is refused all the
// same.
//
// The content: see [Expect] and [Assertion]. An element or attribute that is
// not known where a decision is taken refuses the assertion.
//
// # What the caller does
//
// It claims the pair of Issuer and ID until ExpiresAt, in its store, and
// refuses an assertion whose pair was claimed: every assertion is for one use,
// whether it says OneTimeUse or not. It must not compare bytes for that: the
// same assertion has many spellings.
package saml

import (
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/internal/jws"
)

// ErrRefused is wrapped by every refusal of an assertion. The sentence that
// follows it says why, in words of this package and of [Expect] only: nothing
// in it comes from the assertion, so that it may be shown and logged.
var ErrRefused = errors.New("assertion refused")

func refuse(sentence string) error { return fmt.Errorf("%w: %s", ErrRefused, sentence) }

// Expect is what an assertion must say of the server that it is presented to.
type Expect struct {
	// Audience are the names of this server, the issuer identifier and the URL
	// of the token endpoint: every AudienceRestriction names one of them.
	Audience []string
	// Recipient is the URL of the token endpoint: a SubjectConfirmation names it.
	Recipient string
	// Now is the time by which everything is judged.
	Now time.Time
}

// Assertion is what a verified assertion says.
type Assertion struct {
	// Issuer is the entityID of the identity provider.
	Issuer string
	// ID is unique for the Issuer, for ever.
	ID string
	// Subject is the NameID, 1 to 256 characters. It means somebody only
	// together with Issuer and Format. Its qualifiers, if there are any, are the
	// Issuer and this server: it is nobody else's name for somebody.
	Subject string
	// Format is that of the NameID, a URI: unspecified when it says none. A
	// transient NameID (SAML 2.0 core, section 8.3.8) names nobody next time.
	Format string
	// AuthenticatedAt is when the identity provider authenticated the subject;
	// zero when it does not say that it did.
	AuthenticatedAt time.Time
	// ExpiresAt is when the assertion is refused for its age at the latest, a
	// full second. Its ID is to be remembered until then.
	ExpiresAt time.Time
}

// Verify checks the value of the parameter "assertion". The error wraps
// [ErrRefused], unless e is incomplete.
func (t *Trust) Verify(assertion []byte, e Expect) (*Assertion, error) {
	if err := e.complete(); err != nil {
		return nil, err
	}
	if len(assertion) > maxBytes {
		return nil, refuse("it is longer than 64 KiB")
	}
	document, ok := jws.Decode(string(assertion))
	if !ok {
		return nil, refuse("it is not base64url without padding and line breaks")
	}
	root, err := parse(document)
	if err != nil {
		return nil, err
	}
	if !is(root, nsAssertion, "Assertion") {
		return nil, refuse("the document is not one saml:Assertion, but something else or around it")
	}
	issuer, err := issuerOf(root)
	if err != nil {
		return nil, err
	}
	p, ok := t.providers[issuer]
	if !ok {
		return nil, refuse("the Issuer is not an identity provider that is trusted here")
	}
	signed, err := p.verify(root, e.Now)
	if err != nil {
		return nil, err
	}
	return read(signed, p.entityID, e)
}

// complete refuses an Expect that an assertion without a name could meet.
func (e Expect) complete() error {
	if len(e.Audience) == 0 || e.Recipient == "" || e.Now.IsZero() {
		return errors.New("saml: Expect needs Audience, Recipient and Now")
	}
	for _, name := range e.Audience {
		if name == "" {
			return errors.New("saml: Expect has an empty Audience")
		}
	}
	return nil
}
