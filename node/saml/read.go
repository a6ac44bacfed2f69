// SPDX-License-Identifier: Apache-2.0

package saml

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/beevik/etree"
)

const (
	bearer            = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	formatEntity      = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	formatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
)

// read takes an assertion that issuer signed, and nothing else, and judges what
// it says.
func read(root *etree.Element, issuer string, e Expect) (*Assertion, error) {
	attrs, err := attributes(root, "ID", "Version", "IssueInstant")
	if err != nil {
		return nil, err
	}
	parts, err := content(root, nsAssertion,
		"Issuer", "Subject", "Conditions", "Advice?", "AuthnStatement?", "AttributeStatement*")
	if err != nil {
		return nil, err
	}
	if attrs["Version"] != "2.0" {
		return nil, refuse("its Version is not 2.0")
	}
	a := &Assertion{ID: attrs["ID"]}
	if a.Issuer, err = issuerOf(root); err != nil {
		return nil, err
	}
	if a.Issuer != issuer {
		return nil, refuse("the Issuer is not the one that signed")
	}
	if _, err := past(attrs["IssueInstant"], "IssueInstant", e.Now); err != nil {
		return nil, err
	}
	if err := a.readSubject(parts["Subject"][0], e); err != nil {
		return nil, err
	}
	if err := checkConditions(parts["Conditions"][0], e); err != nil {
		return nil, err
	}
	for _, statement := range parts["AuthnStatement"] {
		if err := a.readAuthentication(statement, e.Now); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// issuerOf returns the Issuer of an assertion: its first element.
func issuerOf(root *etree.Element) (string, error) {
	all, err := children(root)
	if err != nil {
		return "", err
	}
	if len(all) == 0 || !is(all[0], nsAssertion, "Issuer") {
		return "", refuse("there is no Issuer at the start of the Assertion")
	}
	attrs, err := attributes(all[0], "Format?")
	if err != nil {
		return "", err
	}
	if format, ok := attrs["Format"]; ok && format != formatEntity {
		return "", refuse("the Format of the Issuer is not entity")
	}
	return text(all[0])
}

func (a *Assertion) readSubject(subject *etree.Element, e Expect) error {
	if _, err := attributes(subject); err != nil {
		return err
	}
	parts, err := content(subject, nsAssertion, "NameID", "SubjectConfirmation+")
	if err != nil {
		return err
	}
	if err := a.readName(parts["NameID"][0], e); err != nil {
		return err
	}
	// One that holds is enough (SAML 2.0 core, section 2.4.1). Of several, the
	// last to end counts: until then the assertion is accepted.
	var refusal error
	for _, confirmation := range parts["SubjectConfirmation"] {
		until, err := confirmed(confirmation, e)
		if err != nil {
			refusal = err
		} else if until.After(a.ExpiresAt) {
			a.ExpiresAt = until
		}
	}
	if a.ExpiresAt.IsZero() {
		return refusal
	}
	return nil
}

func (a *Assertion) readName(name *etree.Element, e Expect) error {
	attrs, err := attributes(name, "Format?", "NameQualifier?", "SPNameQualifier?")
	if err != nil {
		return err
	}
	if a.Subject, err = text(name); err != nil {
		return err
	}
	if !isSubject(a.Subject) {
		return refuse("the NameID is empty, too long, or has white space around it or control characters in it")
	}
	if by, ok := attrs["NameQualifier"]; ok && by != a.Issuer {
		return refuse("the NameQualifier is not the Issuer")
	}
	if to, ok := attrs["SPNameQualifier"]; ok && !slices.Contains(e.Audience, to) {
		return refuse("the SPNameQualifier is not this server")
	}
	a.Format = formatUnspecified
	if format, ok := attrs["Format"]; ok {
		a.Format = format
	}
	return nil
}

func isSubject(s string) bool {
	return s != "" && len(s) <= maxSubject && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// confirmed returns until when whoever bears the assertion is taken for its
// subject.
func confirmed(confirmation *etree.Element, e Expect) (time.Time, error) {
	attrs, err := attributes(confirmation, "Method")
	if err != nil {
		return time.Time{}, err
	}
	if attrs["Method"] != bearer {
		return time.Time{}, refuse("there is no SubjectConfirmation of the method bearer")
	}
	parts, err := content(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return time.Time{}, err
	}
	data := parts["SubjectConfirmationData"][0]
	if _, err := content(data, nsAssertion); err != nil {
		return time.Time{}, err
	}
	// NotBefore must not be here (SAML 2.0 profiles, section 4.1.4.2); we sent
	// nobody a request that InResponseTo could name; Address is at our
	// discretion (RFC 7522, section 3), and there may be a proxy.
	attrs, err = attributes(data, "Recipient", "NotOnOrAfter", "InResponseTo?", "Address?")
	if err != nil {
		return time.Time{}, err
	}
	if attrs["Recipient"] != e.Recipient {
		return time.Time{}, refuse("the Recipient is not " + e.Recipient)
	}
	until, err := instant(attrs["NotOnOrAfter"])
	if err != nil {
		return time.Time{}, err
	}
	if !e.Now.Before(until) {
		return time.Time{}, refuse("the SubjectConfirmation is over")
	}
	if until.Sub(e.Now) > maxLife {
		return time.Time{}, refuse("the SubjectConfirmation ends more than 2 h from now")
	}
	// A second more is remembered, none is accepted.
	return until.Add(time.Second - 1).Truncate(time.Second), nil
}

func checkConditions(conditions *etree.Element, e Expect) error {
	attrs, err := attributes(conditions, "NotBefore?", "NotOnOrAfter?")
	if err != nil {
		return err
	}
	if value, ok := attrs["NotBefore"]; ok {
		from, err := instant(value)
		if err != nil {
			return err
		}
		if e.Now.Add(skew).Before(from) {
			return refuse("its Conditions do not hold yet")
		}
	}
	if value, ok := attrs["NotOnOrAfter"]; ok {
		if err := notOver(value, "its Conditions hold no longer", e.Now); err != nil {
			return err
		}
	}
	// ProxyRestriction is about assertions that we might make from this one.
	parts, err := content(conditions, nsAssertion, "AudienceRestriction+", "OneTimeUse?", "ProxyRestriction?")
	if err != nil {
		return err
	}
	for _, restriction := range parts["AudienceRestriction"] {
		if err := checkAudience(restriction, e); err != nil {
			return err
		}
	}
	return nil
}

func checkAudience(restriction *etree.Element, e Expect) error {
	parts, err := content(restriction, nsAssertion, "Audience+")
	if err != nil {
		return err
	}
	found := false
	for _, audience := range parts["Audience"] {
		name, err := text(audience)
		if err != nil {
			return err
		}
		found = found || slices.Contains(e.Audience, strings.Trim(name, whiteSpace))
	}
	if !found {
		return refuse("no Audience is " + strings.Join(e.Audience, " or "))
	}
	return nil
}

func (a *Assertion) readAuthentication(statement *etree.Element, now time.Time) (err error) {
	attrs, err := attributes(statement, "AuthnInstant", "SessionIndex?", "SessionNotOnOrAfter?")
	if err != nil {
		return err
	}
	if value, ok := attrs["SessionNotOnOrAfter"]; ok {
		if err := notOver(value, "the session at the identity provider is over", now); err != nil {
			return err
		}
	}
	a.AuthenticatedAt, err = past(attrs["AuthnInstant"], "AuthnInstant", now)
	return err
}

func past(value, name string, now time.Time) (time.Time, error) {
	at, err := instant(value)
	if err == nil && now.Add(skew).Before(at) {
		err = refuse("its " + name + " is in the future")
	}
	return at, err
}

func notOver(value, sentence string, now time.Time) error {
	until, err := instant(value)
	if err == nil && !now.Before(until.Add(skew)) {
		err = refuse(sentence)
	}
	return err
}

var dateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$`)

// instant parses a time as SAML writes it (core, section 1.3.3).
func instant(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || !dateTime.MatchString(s) {
		return time.Time{}, refuse("a time is not written like 2026-03-01T12:00:00Z")
	}
	return at, nil
}
