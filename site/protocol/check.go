// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// Errors of Verify, beside registry.ErrSignature. Parse returns errors that
// wrap registry.ErrForm.
var (
	// ErrExpired: it was valid once.
	ErrExpired = errors.New("expired")
	// ErrClock: its time cannot be right if both clocks are (fault 44). An
	// error may be both ErrExpired and ErrClock.
	ErrClock = errors.New("clock")
	// ErrUnknownKey: no key of the issuer has this kid. The issuer may have
	// changed its keys: fetch them again, once.
	ErrUnknownKey = errors.New("unknown key")
	// ErrAudience: it is meant for somebody else.
	ErrAudience = errors.New("wrong audience")
)

// encode writes compact JSON without the escapes that HTML would need.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// malformed makes an error that wraps registry.ErrForm.
func malformed(what string, err error) error {
	return fmt.Errorf("%s: %w: %w", what, registry.ErrForm, err)
}

// first returns the first error, so that a list of checks reads as a list.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkID checks an opaque identifier of 128 bits or more.
func checkID(name, s string) error {
	if len(s) < minIDBytes || len(s) > maxIDBytes {
		return fmt.Errorf("%s has %d characters, expected %d to %d", name, len(s), minIDBytes, maxIDBytes)
	}
	for _, c := range []byte(s) {
		if !isUnreserved(c) {
			return fmt.Errorf("%s holds a character outside of A-Z a-z 0-9 . _ ~ -", name)
		}
	}
	return nil
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// checkDigest checks a SHA-256 in base64url: 43 characters, canonical.
func checkDigest(name, s string) error {
	if len(s) != 43 {
		return fmt.Errorf("%s is not a base64url SHA-256 of 43 characters", name)
	}
	if _, ok := jws.Decode(s); !ok {
		return fmt.Errorf("%s is not canonical base64url", name)
	}
	return nil
}

// checkText checks that s has at most max characters, all printable ASCII.
func checkText(name, s string, max int) error {
	if len(s) > max {
		return fmt.Errorf("%s has %d characters, at most %d are allowed", name, len(s), max)
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return fmt.Errorf("%s holds a character that is not printable ASCII", name)
		}
	}
	return nil
}

// checkURI checks only what every use of a URI needs. Whether a redirect URI
// is the client's is judged by its registration.
func checkURI(name, s string) error {
	if s == "" {
		return fmt.Errorf("%s is missing", name)
	}
	if strings.ContainsAny(s, " \\\"<>") {
		return fmt.Errorf("%s holds a character that no URI may hold", name)
	}
	return checkText(name, s, registry.MaxURIBytes)
}

func checkClient(id string) error {
	if err := registry.CheckClientID(id); err != nil {
		return fmt.Errorf("client_id: %w", err)
	}
	return nil
}

// checkReason checks a short machine-readable word.
func checkReason(s string) error {
	if s == "" || len(s) > 32 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return errors.New("reason is not a word of at most 32 characters of a-z 0-9 - _")
	}
	return nil
}

func checkTime(name string, t int64) error {
	if t <= 0 || t > registry.MaxTime {
		return fmt.Errorf("%s is missing or out of range", name)
	}
	return nil
}

// checkLife checks iat and exp against each other.
func checkLife(iat, exp int64, longest time.Duration) error {
	if err := first(checkTime("iat", iat), checkTime("exp", exp)); err != nil {
		return err
	}
	if exp <= iat || exp-iat > int64(longest/time.Second) {
		return fmt.Errorf("exp is not within %d s after iat", int64(longest/time.Second))
	}
	return nil
}

// checkNow judges iat and exp by the reader's clock. An honest sender's
// message that expired long ago was most likely sent just now, by a clock
// that is behind: the error says so.
func checkNow(iat, exp int64, grace time.Duration, now time.Time) error {
	t := now.Unix()
	if ahead := iat - t; ahead > int64(Skew/time.Second) {
		return fmt.Errorf("%w: issued %d s in the future; the clocks of the two sides differ", ErrClock, ahead)
	}
	late := t - exp
	switch {
	case late <= int64(grace/time.Second):
		return nil
	case late <= 60:
		return fmt.Errorf("%w %d s ago", ErrExpired, late)
	}
	return fmt.Errorf("%w %d s ago; check the %w: if it was made just now, the two sides disagree about the time", ErrExpired, late, ErrClock)
}
