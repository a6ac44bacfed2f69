// SPDX-License-Identifier: Apache-2.0

package saml

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

const protocolSAML2 = "urn:oasis:names:tc:SAML:2.0:protocol"

// Trust is a set of identity providers. It does not change and may be used from
// many goroutines.
type Trust struct {
	providers map[string]*provider // by entityID
}

// provider is what we know of one identity provider, from one file.
type provider struct {
	file         string
	entityID     string
	validUntil   time.Time // zero: for ever
	certificates []*x509.Certificate
}

// Load reads metadata files, one identity provider (EntityDescriptor) each. An
// error names the file and what to do. Whether metadata and certificates are
// out of date is judged when they are used, and by [Trust.Check].
func Load(paths []string) (*Trust, error) {
	if len(paths) == 0 {
		return nil, errors.New("saml: no metadata file: name one for each identity provider")
	}
	t := &Trust{providers: map[string]*provider{}}
	for _, path := range paths {
		p, err := load(path)
		if err != nil {
			return nil, fmt.Errorf("saml: metadata file %s: %w", path, err)
		}
		if other, ok := t.providers[p.entityID]; ok {
			return nil, fmt.Errorf("saml: metadata file %s: the entityID %q is in %s too: leave one of the files out", path, p.entityID, other.file)
		}
		t.providers[p.entityID] = p
	}
	return t, nil
}

// Check returns an error for every identity provider of which no assertion can
// be accepted at now, since its metadata or all of its certificates are out of
// date. It names the file and what to do.
func (t *Trust) Check(now time.Time) error {
	var all []error
	for _, p := range t.providers {
		if len(p.current(now)) == 0 {
			all = append(all, fmt.Errorf("saml: metadata file %s: out of date (validUntil, or all certificates for signing): replace it by the current metadata of %s and start again", p.file, p.entityID))
		}
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(all...)
}

// current returns the certificates that count at now: those that are valid, in
// metadata that are.
func (p *provider) current(now time.Time) []*x509.Certificate {
	if !p.validUntil.IsZero() && !now.Before(p.validUntil) {
		return nil
	}
	var valid []*x509.Certificate
	for _, c := range p.certificates {
		if !now.Before(c.NotBefore) && !now.After(c.NotAfter) {
			valid = append(valid, c)
		}
	}
	return valid
}

// descriptor is the part of an EntityDescriptor (SAML 2.0 metadata, section
// 2.3.2) that counts.
type descriptor struct {
	XMLName    xml.Name
	EntityID   string `xml:"entityID,attr"`
	ValidUntil string `xml:"validUntil,attr"`
	Roles      []role `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
}

type role struct {
	Protocols  string `xml:"protocolSupportEnumeration,attr"`
	ValidUntil string `xml:"validUntil,attr"`
	Keys       []struct {
		Use          string   `xml:"use,attr"`
		Certificates []string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
}

func load(path string) (*provider, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(data, []byte("<!DOCTYPE")) {
		return nil, errors.New("it has a document type: take it out")
	}
	var d descriptor
	if err := xml.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("it is not XML (%w): get the metadata of the identity provider again", err)
	}
	switch d.XMLName {
	case xml.Name{Space: nsMetadata, Local: "EntityDescriptor"}:
	case xml.Name{Space: nsMetadata, Local: "EntitiesDescriptor"}:
		return nil, errors.New("it describes many entities: write the EntityDescriptor of each identity provider to trust into a file of its own")
	default:
		return nil, errors.New("it is not SAML 2.0 metadata: it must begin with an EntityDescriptor")
	}
	if d.EntityID == "" || len(d.EntityID) > maxName || strings.TrimSpace(d.EntityID) != d.EntityID {
		return nil, errors.New("its entityID is empty, longer than 1024 characters or has white space around it: get the metadata again")
	}
	p := &provider{file: path, entityID: d.EntityID}
	if err := p.until(d.ValidUntil); err != nil {
		return nil, err
	}
	for _, r := range d.Roles {
		if !slices.Contains(strings.Fields(r.Protocols), protocolSAML2) {
			continue
		}
		if err := p.add(r); err != nil {
			return nil, err
		}
	}
	if len(p.certificates) == 0 || len(p.certificates) > maxCertificates {
		return nil, fmt.Errorf("it has %d certificates for signing in an IDPSSODescriptor of SAML 2.0, 1 to %d are needed: get the metadata of the identity provider again", len(p.certificates), maxCertificates)
	}
	return p, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMetadata+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(data) > maxMetadata {
		return nil, errors.New("it is longer than 1 MiB: write the EntityDescriptor of the identity provider alone into it")
	}
	return data, nil
}

// until lowers validUntil to value. The earliest in a file counts for all of
// it.
func (p *provider) until(value string) error {
	if value == "" {
		return nil
	}
	at, err := instant(value)
	if err != nil {
		return errors.New("a validUntil is not written like 2026-03-01T12:00:00Z: write it so, or get the metadata again")
	}
	if p.validUntil.IsZero() || at.Before(p.validUntil) {
		p.validUntil = at
	}
	return nil
}

func (p *provider) add(r role) error {
	if err := p.until(r.ValidUntil); err != nil {
		return err
	}
	for _, key := range r.Keys {
		if key.Use != "" && key.Use != "signing" {
			continue
		}
		// Of several, one would be the key's and the others those of
		// authorities, which sign no assertions.
		if len(key.Certificates) != 1 {
			return fmt.Errorf("a KeyDescriptor for signing has %d certificates: leave exactly one in each", len(key.Certificates))
		}
		c, err := parseCertificate(key.Certificates[0])
		if err != nil {
			return fmt.Errorf("a certificate for signing cannot be used (%w): get the metadata again, or give the identity provider another key", err)
		}
		if !slices.ContainsFunc(p.certificates, c.Equal) {
			p.certificates = append(p.certificates, c)
		}
	}
	return nil
}

func parseCertificate(s string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, errors.New("not base64")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("its RSA key has %d bits, %d are needed", key.N.BitLen(), minRSABits)
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return nil, fmt.Errorf("its curve %s is too small, P-256 is needed", key.Curve.Params().Name)
		}
	default:
		return nil, errors.New("its key is neither RSA nor ECDSA")
	}
	return c, nil
}
