// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"fmt"
	"io"
	"log/slog"
)

// credentials are what a site gives a client. They pass through memory only,
// and print as a word, whatever prints them.
type credentials struct{ token, secret string }

const redacted = "[credentials]"

// Format implements fmt.Formatter for every verb.
func (credentials) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// check refuses what no site should send.
func (c credentials) check() error {
	for _, s := range []string{c.token, c.secret} {
		if s == "" || len(s) > maxCredentialBytes {
			return fmt.Errorf("client_token and client_secret have 1 to %d characters", maxCredentialBytes)
		}
		for i := range len(s) {
			if s[i] <= 0x20 || s[i] >= 0x7f {
				return fmt.Errorf("client_token and client_secret are printable ASCII without spaces")
			}
		}
	}
	return nil
}
