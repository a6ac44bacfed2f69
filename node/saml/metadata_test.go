// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/saml"
)

// TestMetadata: what identity providers publish is read.
func TestMetadata(t *testing.T) {
	p := newIDP(t, rsaKey())
	document := p.sign(t, template)
	old := certify(ecKey(elliptic.P256()), now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1))
	next := certify(ecKey(elliptic.P384()), now.AddDate(0, 0, 1), now.AddDate(2, 0, 0))
	good := metadata(p.certificate)
	for name, text := range map[string]string{
		"one certificate":    good,
		"a rollover":         metadata(old, p.certificate, next),
		"the same twice":     metadata(p.certificate, p.certificate),
		"no use":             edit(t, good, ` use="signing"`, ``),
		"one to encrypt":     edit(t, metadata(next, p.certificate), good[strings.Index(good, "<md:KeyDescriptor"):strings.Index(good, "</md:IDPSSODescriptor>")], strings.TrimSpace(good[strings.Index(good, "<md:KeyDescriptor"):strings.Index(good, "</md:IDPSSODescriptor>")])+"\n    "),
		"a byte order mark":  "\ufeff" + good,
		"default namespaces": edit(t, good, "xmlns:md=", "xmlns=", "<md:", "<", "</md:", "</", "xmlns:ds=", "xmlns=", "<ds:", "<", "</ds:", "</"),
		"two protocols":      edit(t, good, `protocolSupportEnumeration="`, `protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol `),
		"valid for a while":  edit(t, good, `entityID=`, `validUntil="2026-03-01T12:01:01.5Z" cacheDuration="PT1H" entityID=`),
	} {
		t.Run(name, func(t *testing.T) {
			p.write(t, "metadata.xml", []byte(text))
			trust := p.trust(t)
			accepted(t, trust, document, expect, alice)
			if err := trust.Check(now); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRefusedMetadata: the error names the file, and says what to do.
func TestRefusedMetadata(t *testing.T) {
	good := metadata(certify(rsaKey(), now, now.AddDate(1, 0, 0)))
	key := good[strings.Index(good, "<ds:X509Data>"):strings.Index(good, "</ds:X509Data>")]
	weak := func() string {
		t.Setenv("GODEBUG", "rsa1024min=0")
		return metadata(certify(must(rsa.GenerateKey(rand.Reader, 1024)), now, now.AddDate(1, 0, 0)))
	}()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]*x509.Certificate, 9)
	for i := range many {
		many[i] = certify(ecKey(elliptic.P256()), now, now.AddDate(1, 0, 0))
	}
	for _, c := range []struct{ name, text, sentence string }{
		{"empty", "", "is not XML"},
		{"JSON", `{"issuer":"https://idp.example"}`, "is not XML"},
		{"HTML", "<html/>", "must begin with an EntityDescriptor"},
		{"cut", good[:len(good)/2], "is not XML"},
		{"a document type", "<!DOCTYPE x>" + good, "document type: take it out"},
		{"Latin 1", edit(t, good, "UTF-8", "ISO-8859-1"), "is not XML"},
		{"a federation", edit(t, good, "EntityDescriptor", "EntitiesDescriptor"), "into a file of its own"},
		{"metadata of SAML 1.1", edit(t, good, "SAML:2.0:metadata", "SAML:1.1:metadata"), "must begin with an EntityDescriptor"},
		{"no entityID", edit(t, good, ` entityID="`+entityID+`"`, ``), "entityID is empty"},
		{"a long entityID", edit(t, good, entityID, strings.Repeat("a", 1025)), "longer than 1024"},
		{"an entityID with white space", edit(t, good, entityID, " "+entityID), "white space"},
		{"no identity provider", edit(t, good, "IDPSSODescriptor", "SPSSODescriptor"), "has 0 certificates for signing"},
		{"no SAML 2.0", edit(t, good, "SAML:2.0:protocol", "SAML:1.1:protocol"), "has 0 certificates for signing"},
		{"only to encrypt", edit(t, good, `use="signing"`, `use="encryption"`), "has 0 certificates for signing"},
		{"nine certificates", metadata(many...), "has 9 certificates for signing"},
		{"a key without a certificate", edit(t, good, key, "<ds:X509Data>"), "has 0 certificates: leave exactly one"},
		{"a chain", edit(t, good, key, key+strings.TrimPrefix(key, "<ds:X509Data>")), "has 2 certificates: leave exactly one"},
		{"a certificate that is none", edit(t, good, between(t, good, "<ds:X509Certificate>", "</ds:X509Certificate>"), "AAAA"), "certificate for signing cannot be used"},
		{"a certificate in hex", edit(t, good, between(t, good, "<ds:X509Certificate>", "</ds:X509Certificate>"), "0:1"), "not base64"},
		{"RSA with 1024 bits", weak, "its RSA key has 1024 bits, 2048 are needed"},
		{"P-224", metadata(certify(ecKey(elliptic.P224()), now, now.AddDate(1, 0, 0))), "curve P-224 is too small"},
		{"Ed25519", metadata(certify(ed, now, now.AddDate(1, 0, 0))), "neither RSA nor ECDSA"},
		{"validUntil of no form", edit(t, good, `entityID=`, `validUntil="tomorrow" entityID=`), "validUntil is not written like"},
		{"validUntil of the role of no form", edit(t, good, `<md:IDPSSODescriptor `, `<md:IDPSSODescriptor validUntil="tomorrow" `), "validUntil is not written like"},
		{"long", good + strings.Repeat(" ", 1<<20), "longer than 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "idp.xml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			trust, err := saml.Load([]string{path})
			if trust != nil || err == nil || !strings.Contains(err.Error(), c.sentence) || !strings.Contains(err.Error(), path) {
				t.Fatalf("%v, %v: want %q and the file", trust, err, c.sentence)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if trust, err := saml.Load(nil); trust != nil || err == nil {
			t.Fatalf("%v, %v", trust, err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "idp.xml")
		if _, err := saml.Load([]string{path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatal(err)
		}
	})
	t.Run("twice", func(t *testing.T) {
		a, b := newIDP(t, rsaKey()).metadata, newIDP(t, ecKey(elliptic.P256())).metadata
		trust, err := saml.Load([]string{a, b})
		if trust != nil || err == nil || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), b) {
			t.Fatalf("%v, %v: want both files", trust, err)
		}
	})
}

// TestOutOfDate: metadata count until the earliest validUntil, a certificate
// while it is valid. Verify and Check agree.
func TestOutOfDate(t *testing.T) {
	p := newIDP(t, rsaKey())
	document := p.sign(t, template)
	certificate := func(from, until time.Time) string { return metadata(certify(rsaKey(), from, until)) }
	good := metadata(p.certificate)
	for _, c := range []struct {
		name, text string
		current    bool
	}{
		{"a certificate that ends now", certificate(now.AddDate(-1, 0, 0), now), true},
		{"a certificate that has ended", certificate(now.AddDate(-1, 0, 0), now.Add(-time.Second)), false},
		{"a certificate that begins now", certificate(now, now.AddDate(1, 0, 0)), true},
		{"a certificate that begins later", certificate(now.Add(time.Second), now.AddDate(1, 0, 0)), false},
		{"valid for one more second", edit(t, good, `entityID=`, `validUntil="2026-03-01T12:01:01Z" entityID=`), true},
		{"valid until now", edit(t, good, `entityID=`, `validUntil="2026-03-01T12:01:00Z" entityID=`), false},
		{"the role is valid until now", edit(t, good, `entityID=`, `validUntil="2027-03-01T12:01:00Z" entityID=`,
			`<md:IDPSSODescriptor `, `<md:IDPSSODescriptor validUntil="2026-03-01T12:01:00Z" `), false},
		{"the entity is valid until now", edit(t, good, `entityID=`, `validUntil="2026-03-01T12:01:00Z" entityID=`,
			`<md:IDPSSODescriptor `, `<md:IDPSSODescriptor validUntil="2027-03-01T12:01:00Z" `), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.write(t, "metadata.xml", []byte(c.text))
			trust := p.trust(t)
			err := trust.Check(now)
			if c.current {
				accepted(t, trust, document, expect, alice)
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			refused(t, trust, document, expect, "metadata or all certificates of this identity provider are out of date")
			if err == nil || !strings.Contains(err.Error(), p.metadata) || !strings.Contains(err.Error(), "replace it") {
				t.Fatalf("%v: want the file and what to do", err)
			}
		})
	}
	// A certificate that has ended does not count beside one that counts.
	ended := certify(rsaKey(), now.AddDate(-1, 0, 0), now.Add(-time.Second))
	p.write(t, "metadata.xml", []byte(metadata(ended, certify(ecKey(elliptic.P256()), now, now.AddDate(1, 0, 0)))))
	refused(t, p.trust(t), document, expect, "does not verify with any current certificate")
}

// FuzzLoad: whatever is in a file, there is an answer.
func FuzzLoad(f *testing.F) {
	good := string(must(os.ReadFile("testdata/vectors/idp.xml")))
	f.Add([]byte(good))
	f.Add([]byte(edit(f, good, `entityID=`, `validUntil="2026-03-01T12:01:01Z" entityID=`)))
	path := filepath.Join(f.TempDir(), "idp.xml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		trust, err := saml.Load([]string{path})
		if (trust == nil) == (err == nil) {
			t.Fatalf("%v, %v", trust, err)
		}
	})
}
