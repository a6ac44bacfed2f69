// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/brokered"
)

// Credentials print as a word, whatever prints them.
func TestCredentialsAreNotPrinted(t *testing.T) {
	c := brokered.Credentials("TOKEN-CANARY", "SECRET-CANARY")
	nested := struct{ C any }{c}
	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&logged, nil)} {
		slog.New(h).Info("x", "c", c, "nested", nested, slog.Any("list", []any{c}))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		logged.WriteString(fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, nested) + fmt.Sprintf(verb, []any{c}))
	}
	if s := logged.String(); strings.Contains(s, "CANARY") || strings.Contains(s, fmt.Sprintf("%x", "CANARY")) || !strings.Contains(s, "[credentials]") {
		t.Error(s)
	}
}
