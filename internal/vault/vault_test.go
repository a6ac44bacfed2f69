// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/vault"
)

func open(t *testing.T, seed byte) *vault.Vault {
	t.Helper()
	v, err := vault.New(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	v := open(t, 1)
	const secret = "correct horse battery staple"
	sealed := v.Seal("client a", secret)
	if got, err := v.Open("client a", sealed); err != nil || got != secret {
		t.Fatalf("%q, %v", got, err)
	}
	if v.Seal("client a", secret) == sealed {
		t.Error("the same secret looks the same twice")
	}
	if strings.Contains(sealed, secret[:8]) {
		t.Error("the secret shows")
	}
	if got, err := open(t, 1).Open("client a", sealed); err != nil || got != secret {
		t.Errorf("the same seed again: %q, %v", got, err)
	}
	refused := map[string]func() (string, error){
		"another name": func() (string, error) { return v.Open("client b", sealed) },
		"another seed": func() (string, error) { return open(t, 2).Open("client a", sealed) },
		"nothing":      func() (string, error) { return v.Open("client a", "") },
		"a prefix":     func() (string, error) { return v.Open("client a", sealed[:20]) },
		"no base64url": func() (string, error) { return v.Open("client a", "+/=") },
	}
	for name, try := range refused {
		if got, err := try(); !errors.Is(err, vault.ErrSealed) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for i := range sealed { // every character
		altered := []byte(sealed)
		altered[i] ^= 1
		if _, err := v.Open("client a", string(altered)); err == nil {
			t.Errorf("character %d was altered, and it was opened", i)
		}
	}
}

func TestShortSeed(t *testing.T) {
	if _, err := vault.New(make([]byte, 31)); err == nil {
		t.Error("a short seed was taken")
	}
}
