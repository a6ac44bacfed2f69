// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func code() protocol.Code {
	return protocol.Code{
		Issuer: resource, Audience: issuer, ClientID: clientID, RedirectURI: "https://app.example/cb?x=1&y=2",
		Challenge: challenge, Method: "S256", Scope: "read write", Grant: strings.Repeat("g", 22),
		IssuedAt: start, ExpiresAt: start + 60, ID: strings.Repeat("j", 22),
	}
}

func TestCodeRoundTrip(t *testing.T) {
	k := key("site")
	token, err := protocol.SignCode(k, code())
	wantError(t, err)
	got, err := protocol.ParseCode(token)
	wantError(t, err)
	if got.Code != code() {
		t.Errorf("got %+v", got.Code)
	}
	if got.KeyID() != k.ID() {
		t.Errorf("kid is %s", got.KeyID())
	}
	wantError(t, got.Verify(keysOf(k), opening))
}

func TestCodeDefaults(t *testing.T) {
	c := code()
	c.ID, c.ExpiresAt, c.Method = "", 0, ""
	token, err := protocol.SignCode(key("site"), c)
	wantError(t, err)
	got, err := protocol.ParseCode(token)
	wantError(t, err)
	if len(got.ID) != 22 || got.ExpiresAt != start+60 || got.Method != "S256" {
		t.Errorf("got %+v", got.Code)
	}
}

// Each altered member is refused at Parse (fault 5's and 7's half in the
// format: one audience, S256, challenge of 43 characters).
func TestCodeForm(t *testing.T) {
	k := key("site")
	absent := struct{}{}
	for _, tt := range []struct {
		name, member string
		value        any
	}{
		{"aud array", "aud", []string{issuer}},
		{"aud two", "aud", []string{issuer, "https://other.example"}},
		{"aud absent", "aud", absent},
		{"aud null", "aud", nil},
		{"aud token endpoint with query", "aud", issuer + "?x"},
		{"iss absent", "iss", absent},
		{"iss http", "iss", "http://wiki.example"},
		{"iss fragment", "iss", resource + "#"},
		{"iss user info", "iss", "https://u@wiki.example"},
		{"client_id absent", "client_id", absent},
		{"client_id upper case", "client_id", strings.ToUpper(clientID)},
		{"client_id number", "client_id", 7},
		{"redirect_uri absent", "redirect_uri", absent},
		{"redirect_uri space", "redirect_uri", "https://app.example/a b"},
		{"redirect_uri long", "redirect_uri", "https://app.example/" + strings.Repeat("a", registry.MaxURIBytes)},
		{"challenge absent", "code_challenge", absent},
		{"challenge 42", "code_challenge", challenge[:42]},
		{"challenge 44", "code_challenge", challenge + "A"},
		{"challenge not canonical", "code_challenge", challenge[:42] + "N"},
		{"challenge line break", "code_challenge", challenge[:42] + "\n"},
		{"method plain", "code_challenge_method", "plain"},
		{"method absent", "code_challenge_method", absent},
		{"scope twice", "scope", "read read"},
		{"scope quote", "scope", `"`},
		{"scope two spaces", "scope", "read  write"},
		{"scope 10,000 words", "scope", strings.TrimSpace(strings.Repeat("x ", 10000))},
		{"grant absent", "grant", absent},
		{"grant short", "grant", strings.Repeat("g", 21)},
		{"grant long", "grant", strings.Repeat("g", 65)},
		{"grant space", "grant", strings.Repeat("g", 22) + " "},
		{"jkt short", "jkt", "abc"},
		{"jti absent", "jti", absent},
		{"jti long", "jti", strings.Repeat("j", 65)},
		{"iat absent", "iat", absent},
		{"iat fraction", "iat", 1.5},
		{"iat string", "iat", "1790000000"},
		{"iat huge", "iat", int64(registry.MaxTime) + 1},
		{"exp absent", "exp", absent},
		{"exp before iat", "exp", start - 1},
		{"exp 61 s", "exp", start + 61},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := members(t, code())
			if m[tt.member] = tt.value; tt.value == absent {
				delete(m, tt.member)
			}
			_, err := protocol.ParseCode(sign(t, k, protocol.TypeCode, m))
			wantError(t, err, registry.ErrForm)
		})
	}
}

// A member that a later version adds does not break this one.
func TestCodeUnknownMember(t *testing.T) {
	m := members(t, code())
	m["later"] = map[string]any{"a": 1}
	_, err := protocol.ParseCode(sign(t, key("site"), protocol.TypeCode, m))
	wantError(t, err)
}

func TestCodeWrongBytes(t *testing.T) {
	k := key("site")
	raw := k.Sign(protocol.TypeCode, []byte(`{"iss":"a","iss":"b"}`))
	_, err := protocol.ParseCode(raw)
	wantError(t, err, registry.ErrForm)

	good, err := protocol.SignCode(k, code())
	wantError(t, err)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"empty":           "",
		"two parts":       parts[0] + "." + parts[1],
		"line break":      good + "\n",
		"trailing":        good + ".x",
		"other type":      sign(t, k, protocol.TypeEvent, members(t, code())),
		"alg none":        header(`{"alg":"none","typ":"comity-code+jwt"}`) + "." + parts[1] + ".",
		"alg HS256":       header(`{"alg":"HS256","kid":"`+k.ID()+`","typ":"comity-code+jwt"}`) + "." + parts[1] + "." + parts[2],
		"no kid":          header(`{"alg":"EdDSA","typ":"comity-code+jwt"}`) + "." + parts[1] + "." + parts[2],
		"embedded jwk":    header(`{"alg":"EdDSA","kid":"x","typ":"comity-code+jwt","jwk":{}}`) + "." + parts[1] + "." + parts[2],
		"over the length": good + strings.Repeat("A", protocol.MaxCodeBytes),
	} {
		if _, err := protocol.ParseCode(token); !errors.Is(err, registry.ErrForm) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func header(s string) string { return jws.Base64.EncodeToString([]byte(s)) }

// Every prefix and every flipped bit is refused.
func TestCodeFlips(t *testing.T) {
	k := key("site")
	good, err := protocol.SignCode(k, code())
	wantError(t, err)
	for i := range len(good) {
		if accepted(good[:i], k) {
			t.Errorf("prefix of %d accepted", i)
		}
		for bit := range 8 {
			b := []byte(good)
			b[i] ^= 1 << bit
			if accepted(string(b), k) {
				t.Errorf("byte %d bit %d flipped: accepted", i, bit)
			}
		}
	}
}

func accepted(token string, k registry.SigningKey) bool {
	c, err := protocol.ParseCode(token)
	return err == nil && c.Verify(keysOf(k), opening) == nil
}

func TestCodeVerify(t *testing.T) {
	k := key("site")
	token, err := protocol.SignCode(k, code())
	wantError(t, err)
	c, err := protocol.ParseCode(token)
	wantError(t, err)
	for _, tt := range []struct {
		name string
		at   int64
		want []error
	}{
		{"at once", 0, nil},
		{"at the end", 60, nil},
		{"fault 6: 61 s", 61, []error{protocol.ErrExpired}},
		{"site ahead by 10 s", -10, nil},
		{"site ahead by 11 s", -11, []error{protocol.ErrClock}},
		{"fault 44: site ahead by 10 min", -600, []error{protocol.ErrClock}},
		{"fault 44: site behind by 10 min", 600, []error{protocol.ErrExpired, protocol.ErrClock}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := c.Verify(keysOf(k), opening.Add(time.Duration(tt.at)*time.Second))
			wantError(t, err, tt.want...)
			if len(tt.want) == 1 && tt.want[0] == protocol.ErrExpired && errors.Is(err, protocol.ErrClock) {
				t.Errorf("a late redemption is blamed on the clock: %v", err)
			}
			if errors.Is(err, protocol.ErrClock) && !strings.Contains(err.Error(), "clock") {
				t.Errorf("the message does not say clock: %v", err)
			}
		})
	}
	wantError(t, c.Verify(keysOf(key("other")), opening), protocol.ErrUnknownKey)
	wantError(t, c.Verify(nil, opening), protocol.ErrUnknownKey)
	lying := keysOf(k)
	lying[k.ID()] = key("other").Public()
	wantError(t, c.Verify(lying, opening), registry.ErrSignature)
}

func ExampleSignCode() {
	token, err := protocol.SignCode(key("site"), code())
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := protocol.ParseCode(token)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Issuer, "allows", c.Scope, "at", c.Audience)
	fmt.Println(c.Verify(keysOf(key("site")), opening))
	// Output:
	// https://wiki.example allows read write at https://broker.example
	// <nil>
}
