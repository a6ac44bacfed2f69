// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

func TestSigningKey(t *testing.T) {
	k := registry.GenerateSigningKey()
	if k.ID() != registry.Thumbprint(k.Public()) || k.ID() == registry.GenerateSigningKey().ID() {
		t.Errorf("id %s", k.ID())
	}
	pub, err := k.JWK().PublicKey()
	if err != nil || !pub.Equal(k.Public()) {
		t.Errorf("as a JWK: %v", err)
	}
	if again := registry.NewSigningKey(k.Private()); again.ID() != k.ID() {
		t.Error("another key from the same private key")
	}
	// Nothing secret is printed by mistake.
	seed := jws.Base64.EncodeToString(k.Private().Seed())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		printed := fmt.Sprintf(verb, k)
		for _, secret := range []string{seed, fmt.Sprintf("%x", k.Private().Seed()), fmt.Sprint(k.Private()[:4])} {
			if strings.Contains(printed, strings.Trim(secret, "[]")) {
				t.Errorf("%s prints the private key: %s", verb, printed)
			}
		}
	}
}

// Every key that the standard library makes is accepted.
func TestGeneratedKeysAreOnTheCurve(t *testing.T) {
	for range 200 {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.NewJWK(pub).PublicKey(); err != nil {
			t.Fatalf("%x: %v", pub, err)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := registry.NewID()
		if b, ok := jws.Decode(id); !ok || len(b) != registry.IDBytes || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestJWKIgnoresForeignMembers(t *testing.T) {
	var j registry.JWK
	if err := json.Unmarshal([]byte(with(jwkJSON(fixedKey(1)), `"key_ops":["verify"],"X":"AAAA"`)), &j); err != nil {
		t.Fatal(err)
	}
	if j != fixedKey(1).JWK() {
		t.Errorf("read as %+v", j)
	}
}

func TestCID(t *testing.T) {
	if have := registry.CID(nil); have != someCID {
		t.Errorf("of no bytes: %s", have)
	}
	// "b" stands for base32; the four bytes of the prefix fill the next six
	// characters and two bits of the seventh; two bits of the last are unused.
	for i := range len(someCID) {
		const base32 = "abcdefghijklmnopqrstuvwxyz234567"
		mayBe := base32
		switch {
		case i < 7:
			mayBe = someCID[i : i+1]
		case i == 7:
			mayBe = "abcdefgh"
		case i == len(someCID)-1:
			mayBe = "aeimquy4"
		}
		for b := range 256 {
			altered := someCID[:i] + string([]byte{byte(b)}) + someCID[i+1:]
			if err := registry.ParseCID(altered); (err == nil) != (strings.IndexByte(mayBe, byte(b)) >= 0) {
				t.Errorf("%q: %v", altered, err)
			}
		}
	}
}

// A name is ordered by its millisecond, and two of one millisecond differ.
func TestOrderedID(t *testing.T) {
	at := time.UnixMilli(0x0123456789ab)
	a, b, later := registry.OrderedID(at), registry.OrderedID(at), registry.OrderedID(at.Add(time.Millisecond))
	if len(a) != 32 || !strings.HasPrefix(a, "0123456789ab") || !strings.HasPrefix(later, "0123456789ac") {
		t.Errorf("%s, later %s", a, later)
	}
	if a[12:] == b[12:] || a[12:16] == "0000" && b[12:16] == "0000" {
		t.Errorf("%s and %s", a, b)
	}
}
