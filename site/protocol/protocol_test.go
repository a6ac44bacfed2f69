// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// What the tests of this package agree on.
const (
	resource  = "https://wiki.example"
	issuer    = "https://broker.example"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	start     = 1790000000
)

var (
	clientID   = registry.CID([]byte("client"))
	federation = registry.CID([]byte("charter"))
	opening    = time.Unix(start, 0)
)

// key makes the same key for the same name.
func key(name string) registry.SigningKey {
	seed := sha256.Sum256([]byte(name))
	return registry.NewSigningKey(ed25519.NewKeyFromSeed(seed[:]))
}

func keysOf(keys ...registry.SigningKey) map[string]ed25519.PublicKey {
	m := map[string]ed25519.PublicKey{}
	for _, k := range keys {
		m[k.ID()] = k.Public()
	}
	return m
}

// sign signs any claims under any type, for what Sign… refuses to make.
func sign(t *testing.T, k registry.SigningKey, typ string, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return k.Sign(typ, payload)
}

// members turns claims into a map, to be altered.
func members(t *testing.T, claims any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// wantError checks that err wraps each of the wanted errors; none wanted
// means no error.
func wantError(t *testing.T, err error, want ...error) {
	t.Helper()
	if len(want) == 0 && err != nil {
		t.Errorf("unexpected error: %v", err)
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("error is %v, want %v", err, w)
		}
	}
}
