// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

var (
	id32   = strings.Repeat("i", 22)
	digest = protocol.TokenHash("token")
)

func event(set func(*protocol.Event)) protocol.Event {
	e := protocol.Event{Issuer: issuer, Audience: resource, ID: id32, IssuedAt: start}
	set(&e)
	return e
}

func issued(e *protocol.Event) {
	e.TokenIssued = &protocol.TokenIssued{
		TokenHash: digest, TokenType: "Bearer", ClientID: clientID, Scope: "read",
		ExpiresAt: start + 3600, Grant: id32, CodeJTI: id32,
	}
}

func disabled(e *protocol.Event) {
	e.Audience = federation
	e.ClientDisabled = &protocol.ClientChange{ClientID: clientID, Records: []string{"a.b.c"}}
}

var events = map[string]func(*protocol.Event){
	"issued": issued,
	"issued DPoP": func(e *protocol.Event) {
		issued(e)
		e.TokenIssued.TokenType, e.TokenIssued.JKT, e.TokenIssued.Subject, e.TokenIssued.Uses = "DPoP", digest, "pairwise|1", protocol.UseOnce
	},
	"issued without a grant": func(e *protocol.Event) {
		issued(e)
		e.TokenIssued.Grant, e.TokenIssued.CodeJTI = "", ""
	},
	"revoked": func(e *protocol.Event) {
		e.TokenRevoked = &protocol.TokenRevoked{TokenHash: digest, ExpiresAt: start, Reason: "not-acknowledged"}
	},
	"revoked by grant": func(e *protocol.Event) {
		e.TokensRevoked = &protocol.TokensRevoked{Grant: id32, Cutoff: start, Reason: "reuse"}
	},
	"revoked by client": func(e *protocol.Event) {
		e.TokensRevoked = &protocol.TokensRevoked{ClientID: clientID, Cutoff: start, Reason: "malicious"}
	},
	"disabled": disabled,
	"enabled": func(e *protocol.Event) {
		disabled(e)
		e.ClientDisabled, e.ClientEnabled = nil, e.ClientDisabled
	},
}

func TestEventRoundTrip(t *testing.T) {
	k := key("broker")
	for name, set := range events {
		t.Run(name, func(t *testing.T) {
			e := event(set)
			token, err := protocol.SignEvent(k, e)
			wantError(t, err)
			got, err := protocol.ParseEvent(token)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Event, e) {
				t.Errorf("got %+v, want %+v", got.Event, e)
			}
			wantError(t, got.Verify(keysOf(k), opening))
			wantError(t, got.CheckAudience(resource, federation))
			wantError(t, got.CheckAudience("https://other.example", federation+"x"), protocol.ErrAudience)
		})
	}
}

// An event that waits in a queue has no iat yet.
func TestEventStored(t *testing.T) {
	e := event(issued)
	e.IssuedAt = 0
	raw, err := json.Marshal(e)
	wantError(t, err)
	var got protocol.Event
	wantError(t, json.Unmarshal(raw, &got))
	if !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v", got)
	}
	_, err = protocol.SignEvent(key("broker"), e)
	wantError(t, err, registry.ErrForm)
}

func TestEventForm(t *testing.T) {
	long := make([]string, protocol.MaxEventRecords+1)
	for i := range long {
		long[i] = "a.b.c"
	}
	for name, e := range map[string]protocol.Event{
		"no event":   event(func(*protocol.Event) {}),
		"two events": event(func(e *protocol.Event) { issued(e); events["revoked"](e) }),
		"issuer":     event(func(e *protocol.Event) { issued(e); e.Issuer = "broker.example" }),
		"audience":   event(func(e *protocol.Event) { issued(e); e.Audience = federation }),
		"disabled, audience of one site": event(func(e *protocol.Event) {
			disabled(e)
			e.Audience = resource
		}),
		"short jti":       event(func(e *protocol.Event) { issued(e); e.ID = "1" }),
		"hash":            event(func(e *protocol.Event) { issued(e); e.TokenIssued.TokenHash = "the token" }),
		"uses":            event(func(e *protocol.Event) { issued(e); e.TokenIssued.Uses = "twice" }),
		"token type":      event(func(e *protocol.Event) { issued(e); e.TokenIssued.TokenType = "bearer" }),
		"DPoP, no jkt":    event(func(e *protocol.Event) { issued(e); e.TokenIssued.TokenType = "DPoP" }),
		"Bearer with jkt": event(func(e *protocol.Event) { issued(e); e.TokenIssued.JKT = digest }),
		"client":          event(func(e *protocol.Event) { issued(e); e.TokenIssued.ClientID = "7" }),
		"scope":           event(func(e *protocol.Event) { issued(e); e.TokenIssued.Scope = " " }),
		"no exp":          event(func(e *protocol.Event) { issued(e); e.TokenIssued.ExpiresAt = 0 }),
		"code, no grant":  event(func(e *protocol.Event) { issued(e); e.TokenIssued.Grant = "" }),
		"sub":             event(func(e *protocol.Event) { issued(e); e.TokenIssued.Subject = "é" }),
		"grant and client": event(func(e *protocol.Event) {
			events["revoked by grant"](e)
			e.TokensRevoked.ClientID = clientID
		}),
		"neither grant nor client": event(func(e *protocol.Event) {
			events["revoked by grant"](e)
			e.TokensRevoked.Grant = ""
		}),
		"no cutoff":        event(func(e *protocol.Event) { events["revoked by grant"](e); e.TokensRevoked.Cutoff = 0 }),
		"reason":           event(func(e *protocol.Event) { events["revoked"](e); e.TokenRevoked.Reason = "Because!" }),
		"no records":       event(func(e *protocol.Event) { disabled(e); e.ClientDisabled.Records = nil }),
		"empty record":     event(func(e *protocol.Event) { disabled(e); e.ClientDisabled.Records = []string{""} }),
		"too many records": event(func(e *protocol.Event) { disabled(e); e.ClientDisabled.Records = long }),
	} {
		t.Run(name, func(t *testing.T) {
			if token, err := protocol.SignEvent(key("broker"), e); err == nil {
				t.Errorf("signed %s", token)
			}
		})
	}
}

func TestEventRawForm(t *testing.T) {
	frame := `{"iss":"https://broker.example","aud":"https://wiki.example","jti":"` + id32 + `","iat":1790000000,"events":`
	one := `"urn:comity:event:token-revoked":{"token_hash":"` + digest + `","exp":1790000000,"reason":"x"}`
	for _, tt := range []struct {
		name, payload string
		ok            bool
	}{
		{"good", frame + `{` + one + `}}`, true},
		{"unknown claim", frame + `{` + one + `},"txn":"1"}`, true},
		{"no events", frame + `{}}`, false},
		{"null events", frame + `null}`, false},
		{"array", frame + `[]}`, false},
		{"null event", frame + `{"urn:comity:event:token-revoked":null}}`, false},
		{"array event", frame + `{"urn:comity:event:token-revoked":[]}}`, false},
		{"unknown event", frame + `{"urn:comity:event:other":{}}}`, false},
		{"one known, one unknown", frame + `{` + one + `,"urn:comity:event:other":{}}}`, false},
		{"member in another case", frame + `{` + strings.Replace(one, `"exp"`, `"Exp"`, 1) + `}}`, false},
		{"two known", frame + `{` + one + `,"urn:comity:event:tokens-revoked":{"grant":"` + id32 + `","cutoff":1,"reason":"x"}}}`, false},
		{"same event twice", frame + `{` + one + `,` + one + `}}`, false},
		{"trailing", frame + `{` + one + `}} {}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := protocol.ParseEvent(key("broker").Sign(protocol.TypeEvent, []byte(tt.payload)))
			if (err == nil) != tt.ok {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// fault 40: a forged notification is refused, whatever was forged.
func TestFault40ForgedEvent(t *testing.T) {
	k, other := key("broker"), key("other broker")
	keys := keysOf(k)
	good, err := protocol.SignEvent(k, event(issued))
	wantError(t, err)
	parts := strings.Split(good, ".")
	altered := event(issued)
	altered.TokenIssued.Scope = "admin"
	body, err := json.Marshal(altered)
	wantError(t, err)
	impostor := keysOf(other) // a kid that claims to be ours
	impostor[k.ID()] = k.Public()

	for name, token := range map[string]string{
		"body altered":                         parts[0] + "." + header(string(body)) + "." + parts[2],
		"signature absent":                     parts[0] + "." + parts[1] + ".",
		"other broker's key under its own kid": sign(t, other, protocol.TypeEvent, event(issued)),
		"other broker's key under our kid": swapHeader(sign(t, other, protocol.TypeEvent, event(issued)),
			`{"alg":"EdDSA","kid":"`+k.ID()+`","typ":"secevent+jwt"}`),
		"alg none":    swapHeader(good, `{"alg":"none","kid":"`+k.ID()+`","typ":"secevent+jwt"}`),
		"alg HS256":   swapHeader(good, `{"alg":"HS256","kid":"`+k.ID()+`","typ":"secevent+jwt"}`),
		"alg ES256":   swapHeader(good, `{"alg":"ES256","kid":"`+k.ID()+`","typ":"secevent+jwt"}`),
		"typ of code": sign(t, k, protocol.TypeCode, event(issued)),
		"no typ":      swapHeader(good, `{"alg":"EdDSA","kid":"`+k.ID()+`"}`),
		"jku":         swapHeader(good, `{"alg":"EdDSA","kid":"`+k.ID()+`","typ":"secevent+jwt","jku":"https://evil.example"}`),
		"crit":        swapHeader(good, `{"alg":"EdDSA","kid":"`+k.ID()+`","typ":"secevent+jwt","crit":["x"],"x":1}`),
	} {
		t.Run(name, func(t *testing.T) {
			e, err := protocol.ParseEvent(token)
			if err == nil {
				err = e.Verify(keys, opening)
			}
			if err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("other site's event", func(t *testing.T) {
		e := event(issued)
		wantError(t, e.CheckAudience("https://shop.example", federation), protocol.ErrAudience)
	})
	t.Run("site without a federation", func(t *testing.T) {
		e := event(disabled)
		e.Audience = ""
		wantError(t, e.CheckAudience(resource, ""), protocol.ErrAudience)
	})
}

func swapHeader(token, to string) string {
	_, rest, _ := strings.Cut(token, ".")
	return header(to) + "." + rest
}

// fault 39: what is old or from the future is refused, and so a replay.
// fault 44: the error names the clock.
func TestFault39EventTime(t *testing.T) {
	k := key("broker")
	token, err := protocol.SignEvent(k, event(issued))
	wantError(t, err)
	e, err := protocol.ParseEvent(token)
	wantError(t, err)
	for _, tt := range []struct {
		after int64
		want  []error
	}{
		{-601, []error{protocol.ErrClock}},
		{-11, []error{protocol.ErrClock}},
		{-10, nil},
		{60, nil},
		{61, []error{protocol.ErrExpired}},
		{301, []error{protocol.ErrExpired, protocol.ErrClock}},
		{600, []error{protocol.ErrExpired, protocol.ErrClock}},
	} {
		err := e.Verify(keysOf(k), opening.Add(time.Duration(tt.after)*time.Second))
		wantError(t, err, tt.want...)
		if errors.Is(err, protocol.ErrClock) && !strings.Contains(err.Error(), "clock") {
			t.Errorf("%d: message is %v", tt.after, err)
		}
	}
}
