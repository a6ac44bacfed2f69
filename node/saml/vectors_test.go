// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/saml"
)

// With -update, xmlsec1 signs all vectors again, with new keys that nobody
// keeps.
var update = flag.Bool("update", false, "write node/saml/testdata again")

// vector is a file of testdata/vectors: headers, an empty line, and a document
// to the last byte.
type vector struct {
	path     string
	headers  map[string]string
	document string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	paths, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	var all []vector
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, document, ok := strings.Cut(string(data), "\n\n")
		if !ok {
			t.Fatalf("%s has no empty line", path)
		}
		v := vector{path: path, headers: map[string]string{}, document: document}
		for line := range strings.Lines(head + "\n") {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			v.headers[name] = value
		}
		all = append(all, v)
	}
	return all
}

// says is what the document says, and whether it is to be accepted.
func (v vector) says(t testing.TB) (a saml.Assertion, valid bool) {
	t.Helper()
	seconds := func(name string) time.Time {
		n, err := strconv.ParseInt(v.headers[name], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", v.path, err)
		}
		return time.Unix(n, 0).UTC()
	}
	if valid = v.headers["expect"] == "valid"; !valid {
		return a, false
	}
	a = saml.Assertion{
		Issuer: v.headers["issuer"], ID: v.headers["id"], Subject: v.headers["subject"], Format: v.headers["format"],
		ExpiresAt: seconds("expires"),
	}
	if v.headers["authenticated"] != "" {
		a.AuthenticatedAt = seconds("authenticated")
	}
	return a, true
}

func vectorTrust(t testing.TB) *saml.Trust {
	t.Helper()
	trust, err := saml.Load([]string{"testdata/vectors/idp.xml"})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// TestVectors: the files say what this package does.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	trust := vectorTrust(t)
	for _, v := range vectors(t) {
		t.Run(filepath.Base(v.path), func(t *testing.T) {
			if v.headers["comity-vector"] != "1" || v.headers["kind"] != "saml2-bearer" {
				t.Fatal("not a vector of this kind")
			}
			e := saml.Expect{Audience: strings.Fields(v.headers["audience"]), Recipient: v.headers["recipient"]}
			seconds, err := strconv.ParseInt(v.headers["time"], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			e.Now = time.Unix(seconds, 0)
			if says, valid := v.says(t); valid {
				accepted(t, trust, v.document, e, says)
				return
			}
			sentence, ok := strings.CutPrefix(v.headers["expect"], "refused ")
			if !ok {
				t.Fatalf("expects %q", v.headers["expect"])
			}
			refused(t, trust, v.document, e, sentence)
		})
	}
}

// refusedCases are vectors that are refused, beside the wrappings.
func refusedCases(t testing.TB, signed string) map[string]string {
	return map[string]string{
		"unsigned":               strings.Replace(template, signatureTemplate, "", 1),
		"comment-in-name":        edit(t, signed, "alice@", "alice@<!-- -->"),
		"cdata-in-name":          edit(t, signed, "alice@", "<![CDATA[alice@]]>"),
		"document-type":          "<!DOCTYPE a>" + signed,
		"entity":                 `<!DOCTYPE a [<!ENTITY who "alice">]>` + edit(t, signed, "alice@", "&who;@"),
		"two-ids":                edit(t, signed, ` ID="_5f0c"`, ` ID="_5f0c" ID="_evil"`),
		"id-with-prefix":         edit(t, signed, ` ID="_5f0c"`, ` saml:ID="_5f0c" ID="_evil"`),
		"name-changed":           edit(t, signed, "alice@", "mallory@"),
		"prefix-rebound":         edit(t, signed, "<saml:NameID ", "<saml:NameID xmlns:saml='urn:evil' "),
		"two-documents":          signed + signed,
		"method-none":            edit(t, signed, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "none"),
		"value-changed":          edit(t, signed, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA"),
		"too-deep":               edit(t, signed, "alice@", strings.Repeat("<saml:x>", 14)+strings.Repeat("</saml:x>", 14)+"alice@"),
		"not-an-identity-issuer": edit(t, signed, "https://idp.example/metadata", "https://other.example/metadata"),
	}
}

// refusedEdits are signed by the identity provider, and refused.
var refusedEdits = map[string][]string{
	"sha1-method":       {"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"},
	"sha1-digest":       {"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1"},
	"instruction":       {"alice@", "alice@<?x?>"},
	"audience":          {">https://broker.example<", ">https://other.example<"},
	"recipient":         {`Recipient="https://broker.example/oauth/token"`, `Recipient="https://broker.example"`},
	"over":              {`NotOnOrAfter="2026-03-01T12:05:00Z" Recipient`, `NotOnOrAfter="2026-03-01T12:01:00Z" Recipient`},
	"conditions-over":   {`NotOnOrAfter="2026-03-01T12:05:00Z">`, `NotOnOrAfter="2026-03-01T12:00:00Z">`},
	"conditions-later":  {`<saml:Conditions NotBefore="2026-03-01T12:00:00Z"`, `<saml:Conditions NotBefore="2026-03-01T12:02:01Z"`},
	"not-before":        {`<saml:SubjectConfirmationData `, `<saml:SubjectConfirmationData NotBefore="2026-03-01T12:00:00Z" `},
	"holder-of-key":     {`cm:bearer`, `cm:holder-of-key`},
	"unknown-condition": {`<saml:OneTimeUse/>`, `<saml:Condition/>`},
}

func writeVectors(t *testing.T) {
	t.Helper()
	var certificates []*x509.Certificate
	byCurve := map[elliptic.Curve]*idp{}
	for _, curve := range []elliptic.Curve{nil, elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		byCurve[curve] = newIDP(t, acceptedCase{curve: curve}.key())
		certificates = append(certificates, byCurve[curve].certificate)
	}
	must(0, os.RemoveAll("testdata/vectors"))
	must(0, os.MkdirAll("testdata/vectors", 0o755))
	must(0, os.WriteFile("testdata/vectors/idp.xml", []byte(metadata(certificates...)), 0o644))
	for _, c := range acceptedCases() {
		a := c.says()
		lines := fmt.Sprintf("valid\nissuer: %s\nid: %s\nsubject: %s\nformat: %s\nexpires: %d", a.Issuer, a.ID, a.Subject, a.Format, a.ExpiresAt.Unix())
		if !a.AuthenticatedAt.IsZero() {
			lines += fmt.Sprintf("\nauthenticated: %d", a.AuthenticatedAt.Unix())
		}
		writeVector(t, "valid "+c.name, lines, byCurve[c.curve].sign(t, edit(t, template, c.edits...)))
	}
	p, trust := byCurve[nil], vectorTrust(t)
	refuse := func(name, document string) {
		t.Helper()
		a, err := trust.Verify(parameter(document), expect)
		if err == nil {
			t.Fatalf("%s: accepted: %+v", name, a)
		}
		writeVector(t, name, "refused "+strings.TrimPrefix(err.Error(), saml.ErrRefused.Error()+": "), document)
	}
	pieces := take(t, p.sign(t, template))
	for _, w := range pieces.wrappings() {
		refuse("wrapping "+w.name, w.document)
	}
	byName := refusedCases(t, pieces.signed)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		refuse(name, byName[name])
	}
	for _, name := range slices.Sorted(maps.Keys(refusedEdits)) {
		refuse(name, p.sign(t, edit(t, template, refusedEdits[name]...)))
	}
}

func writeVector(t *testing.T, name, outcome, document string) {
	t.Helper()
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
	header := fmt.Sprintf("comity-vector: 1\nkind: saml2-bearer\nmetadata: idp.xml\ntime: %d\naudience: %s\nrecipient: %s\nexpect: %s\n\n",
		now.Unix(), strings.Join(expect.Audience, " "), expect.Recipient, outcome)
	must(0, os.WriteFile(filepath.Join("testdata/vectors", strings.Join(words, "-")+".txt"), []byte(header+document), 0o644))
}
