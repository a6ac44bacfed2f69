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

// What holds credentials prints as a word, or not at all, whatever prints it.
func TestCredentialsAreNotPrinted(t *testing.T) {
	const canary = "CANARY"
	for _, c := range brokered.Unprinted(canary) {
		var printed bytes.Buffer
		for _, h := range []slog.Handler{slog.NewJSONHandler(&printed, nil), slog.NewTextHandler(&printed, nil)} {
			slog.New(h).Info("x", "value", c, "error", fmt.Errorf("about %v", c))
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&printed, verb+verb+verb, c, struct{ C any }{c}, []any{c})
		}
		if s := printed.String(); strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
			t.Errorf("%T: %s", c, s)
		}
	}
}
