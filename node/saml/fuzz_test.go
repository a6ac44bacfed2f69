// SPDX-License-Identifier: Apache-2.0

package saml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/saml"
)

// BenchmarkVerify verifies the vector with RSA and SHA-256.
func BenchmarkVerify(b *testing.B) {
	trust := vectorTrust(b)
	for _, v := range vectors(b) {
		if !strings.HasSuffix(v.path, "valid-rsa-with-sha-256.txt") {
			continue
		}
		assertion := parameter(v.document)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := trust.Verify(assertion, expect); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// FuzzVerify: whatever is sent, there is an answer, and the identity provider
// never said anything but what it signed. It begins with the vectors, whose key
// is the same in every process of the fuzzer.
func FuzzVerify(f *testing.F) {
	trust := vectorTrust(f)
	signed := map[saml.Assertion]bool{}
	for _, v := range vectors(f) {
		f.Add([]byte(v.document))
		if says, valid := v.says(f); valid {
			signed[says] = true
		}
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		a, err := trust.Verify(parameter(string(document)), expect)
		if err != nil && (a != nil || !errors.Is(err, saml.ErrRefused)) || err == nil && !signed[*a] {
			t.Fatalf("%+v, %v", a, err)
		}
	})
}
