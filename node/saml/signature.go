// SPDX-License-Identifier: Apache-2.0

package saml

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The one form of a signature (SAML 2.0 core, section 5.4).
const (
	enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	exclusive = nsExclusive
)

var (
	methods = []string{
		dsig.RSASHA256SignatureMethod, dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod,
		dsig.ECDSASHA256SignatureMethod, dsig.ECDSASHA384SignatureMethod, dsig.ECDSASHA512SignatureMethod,
	}
	digests = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256",
		"http://www.w3.org/2001/04/xmldsig-more#sha384",
		"http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

// verify returns what a current certificate of p signed: a new tree, parsed
// from the canonical bytes that the digest was taken of. It changes root.
func (p *provider) verify(root *etree.Element, now time.Time) (*etree.Element, error) {
	value, err := prepare(root)
	if err != nil {
		return nil, err
	}
	signature, err := signatureBytes(value)
	if err != nil {
		return nil, err
	}
	certificates := p.current(now)
	if len(certificates) == 0 {
		return nil, refuse("the metadata or all certificates of this identity provider are out of date")
	}
	for _, certificate := range certificates {
		value.SetText(base64.StdEncoding.EncodeToString(spelled(signature, certificate)))
		context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
		context.IdAttribute = "ID"
		context.Clock = dsig.NewFakeClockAt(now)
		signed, err := context.Validate(root)
		if err != nil {
			continue // the library's words may be the assertion's
		}
		if err := wellFormed(signed); err != nil {
			return nil, err
		}
		if !is(signed, nsAssertion, "Assertion") {
			return nil, refuse("what was signed is not a saml:Assertion")
		}
		return signed, nil
	}
	return nil, refuse("the signature does not verify with any current certificate of the Issuer")
}

// prepare checks that root has one signature, in the one form that is
// accepted, and takes out its KeyInfo: keys come from metadata. It returns the
// element SignatureValue.
func prepare(root *etree.Element) (*etree.Element, error) {
	if count(root, nsAssertion, "Assertion") != 1 {
		return nil, refuse("there is more than one Assertion")
	}
	if count(root, nsSignature, "Signature") > 1 {
		return nil, refuse("there is more than one Signature")
	}
	all, err := children(root)
	if err != nil {
		return nil, err
	}
	// As the schema has it. So the library finds it at once, whatever follows.
	if len(all) < 2 || !is(all[1], nsSignature, "Signature") {
		return nil, refuse("there is no Signature after the Issuer of the Assertion")
	}
	identity, err := attributes(root, "ID", "Version", "IssueInstant")
	if err != nil {
		return nil, err
	}
	if !isName(identity["ID"]) || len(identity["ID"]) > maxSubject {
		return nil, refuse("the ID is malformed or too long")
	}
	parts, err := shape(all[1], []string{"Id?"}, "SignedInfo", "SignatureValue", "KeyInfo?")
	if err != nil {
		return nil, err
	}
	if err := checkSignedInfo(parts["SignedInfo"][0], identity["ID"]); err != nil {
		return nil, err
	}
	for _, keys := range parts["KeyInfo"] {
		all[1].RemoveChild(keys)
	}
	return parts["SignatureValue"][0], nil
}

func checkSignedInfo(info *etree.Element, id string) error {
	parts, err := shape(info, []string{"Id?"}, "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return err
	}
	if err := algorithm(parts["CanonicalizationMethod"][0], []string{exclusive}); err != nil {
		return err
	}
	if err := algorithm(parts["SignatureMethod"][0], methods); err != nil {
		return err
	}
	reference := parts["Reference"][0]
	target, err := attributes(reference, "URI")
	if err != nil {
		return err
	}
	if target["URI"] != "#"+id {
		return refuse("the Reference of the signature is not to the ID of the Assertion")
	}
	parts, err = shape(reference, []string{"URI"}, "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	if err := algorithm(parts["DigestMethod"][0], digests); err != nil {
		return err
	}
	return checkTransforms(parts["Transforms"][0])
}

func checkTransforms(transforms *etree.Element) error {
	parts, err := shape(transforms, nil, "Transform+")
	if err != nil {
		return err
	}
	steps := parts["Transform"]
	if len(steps) != 2 {
		return refuse("the transforms are not enveloped-signature and exc-c14n, one after the other")
	}
	if err := algorithm(steps[0], []string{enveloped}); err != nil {
		return err
	}
	// Identity providers name prefixes that only attribute values use.
	if err := algorithm(steps[1], []string{exclusive}, "InclusiveNamespaces?"); err != nil {
		return err
	}
	for _, namespaces := range steps[1].ChildElements() {
		if _, err := attributes(namespaces, "PrefixList"); err != nil {
			return err
		}
		if _, err := content(namespaces, nsExclusive); err != nil {
			return err
		}
	}
	return nil
}

// shape is content and attributes of an element of a signature.
func shape(e *etree.Element, attrs []string, names ...string) (map[string][]*etree.Element, error) {
	if _, err := attributes(e, attrs...); err != nil {
		return nil, err
	}
	return content(e, nsSignature, names...)
}

// algorithm checks that e names one of the algorithms, with no parameters but
// these.
func algorithm(e *etree.Element, allowed []string, parameters ...string) error {
	attrs, err := attributes(e, "Algorithm")
	if err != nil {
		return err
	}
	if !slices.Contains(allowed, attrs["Algorithm"]) {
		return refuse("the algorithm of " + e.Tag + " is not one of " + strings.Join(allowed, ", "))
	}
	_, err = content(e, nsExclusive, parameters...)
	return err
}

// count counts the elements of that name at and below e.
func count(e *etree.Element, space, tag string) int {
	n := 0
	if is(e, space, tag) {
		n++
	}
	for _, child := range e.ChildElements() {
		n += count(child, space, tag)
	}
	return n
}

func signatureBytes(value *etree.Element) ([]byte, error) {
	if _, err := attributes(value, "Id?"); err != nil {
		return nil, err
	}
	spelling, err := text(value)
	if err != nil {
		return nil, err
	}
	bare := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(spelling)
	signature, err := base64.StdEncoding.Strict().DecodeString(bare)
	if err != nil || len(signature) == 0 {
		return nil, refuse("the SignatureValue is not base64")
	}
	return signature, nil
}

// spelled returns an ECDSA signature, r and s side by side (XML Signature,
// section 6.4.3), in ASN.1 as the library wants it. What has another length
// becomes nothing; other signatures stay as they are.
func spelled(signature []byte, certificate *x509.Certificate) []byte {
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return signature
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return nil
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]),
	})
	if err != nil {
		return nil
	}
	return der
}
