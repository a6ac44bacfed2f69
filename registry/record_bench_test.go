// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"testing"

	"github.com/comity-network/comity/registry"
)

// kilobyte is a registration of about 1 KB.
func kilobyte() registry.Registration {
	r := registration()
	r.RedirectURIs = append(r.RedirectURIs, "https://printer.example/callback/two", "https://printer.example/callback/three")
	r.GrantTypes = []string{"authorization_code", "refresh_token"}
	r.Scope = "read write:photos"
	r.AuthMethod, r.Keys = registry.AuthPrivateKeyJWT, keySet(keysEd25519)
	r.LogoURI, r.PolicyURI = "https://printer.example/logo.png", "https://printer.example/privacy"
	return r
}

func BenchmarkParseAndVerify(b *testing.B) {
	k := fixedKey(1)
	r, err := registry.SignRegistration(k, kilobyte())
	must(b, r, err)
	raw, pub := []byte(r.Raw), k.Public()
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if _, err := registry.ParseRecord(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("both", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			r, err := registry.ParseRecord(raw)
			if err == nil {
				err = r.Verify(pub)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k, reg := fixedKey(1), kilobyte()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.SignRegistration(k, reg); err != nil {
			b.Fatal(err)
		}
	}
}

// fault 45: each must be refused in less than 1 ms.
func BenchmarkFault45(b *testing.B) {
	for name, raw := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := registry.ParseRecord(raw); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
