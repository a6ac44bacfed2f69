// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"

	"github.com/comity-network/comity/registry"
)

// The example of the package comment.
func ExampleSignRegistration() {
	seed := []byte(strings.Repeat("\x01", ed25519.SeedSize))
	home := registry.NewSigningKey(ed25519.NewKeyFromSeed(seed))
	first, err := registry.SignRegistration(home, registry.Registration{
		Claims: registry.Claims{Issuer: "https://broker.example", IssuedAt: 1790000000, ID: "AAECAwQFBgcICQoLDA0ODw"},
		ClientMetadata: registry.ClientMetadata{
			Name:         "Photo Printer",
			RedirectURIs: []string{"https://printer.example/callback"},
			AuthMethod:   registry.AuthNone,
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.KeyID)
	fmt.Println(first.ClientID())
	// Output:
	// UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4
	// bafkreic7cmj353ziszoeye52tdc5lbbm2nbf3wqq5nbmxrhmz64kfjijfq
}

// Whoever receives a record checks the form, then the signature under a key
// that it knows from the charter.
func ExampleParseRecord() {
	received := "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.e30." + strings.Repeat("A", 86)
	_, err := registry.ParseRecord([]byte(received), registry.KindRegistration)
	fmt.Println(registry.Slug(err))
	fmt.Println(err)
	// Output:
	// typ
	// malformed: jws: typ is "JWT", expected "comity-registration+jwt"
}
