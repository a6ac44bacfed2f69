// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// credentials are what a site gives a client. They pass through memory only.
// They are inside of a function, since package fmt prints what is in unexported
// fields without asking it, and cannot look there.
type credentials struct {
	unprinted
	open func() (token, secret string)
}

func newCredentials(token, secret string) credentials {
	return credentials{open: func() (string, string) { return token, secret }}
}

// check refuses what no site should send.
func (c credentials) check() error {
	token, secret := c.open()
	for _, s := range []string{token, secret} {
		if s == "" || len(s) > maxCredentialBytes {
			return fmt.Errorf("client_token and client_secret have 1 to %d characters", maxCredentialBytes)
		}
		for i := range len(s) {
			if s[i] <= 0x20 || s[i] >= 0x7f {
				return errors.New("client_token and client_secret are printable ASCII without spaces")
			}
		}
	}
	return nil
}

// unprinted is embedded in what holds something secret: it prints as a word,
// whatever prints it.
type unprinted struct{}

const redacted = "[credentials]"

// Format implements fmt.Formatter for every verb.
func (unprinted) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (unprinted) LogValue() slog.Value { return slog.StringValue(redacted) }
