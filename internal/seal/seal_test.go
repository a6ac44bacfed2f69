// SPDX-License-Identifier: Apache-2.0

package seal_test

import (
	"errors"
	"testing"

	"github.com/comity-network/comity/internal/seal"
)

type value struct {
	Text string `json:"text"`
}

func TestSeal(t *testing.T) {
	key, other := seal.Key("0123456789abcdef0123456789abcdef"), seal.Key("x123456789abcdef0123456789abcdef")
	sealed := key.Seal("ask", value{"é <&>"})
	var got value
	if err := key.Open("ask", sealed, &got); err != nil || got.Text != "é <&>" {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, err := range map[string]error{
		"another purpose": key.Open("end", sealed, &got),
		"another key":     other.Open("ask", sealed, &got),
		"nothing":         key.Open("ask", "", &got),
		"no tag":          key.Open("ask", sealed[:len(sealed)-43], &got),
	} {
		if !errors.Is(err, seal.ErrSeal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range sealed { // every byte
		altered := []byte(sealed)
		altered[i] ^= 1
		if err := key.Open("ask", string(altered), &got); err == nil {
			t.Errorf("byte %d was altered, and it was opened", i)
		}
	}
}
