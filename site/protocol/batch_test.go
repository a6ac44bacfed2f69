// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// inBatch are events that may be in one batch, n of them.
func inBatch(n int) []protocol.Event {
	kinds := []string{"issued", "issued DPoP", "revoked", "issued without a grant", "revoked by grant", "revoked by client"}
	all := make([]protocol.Event, n)
	for i := range all {
		all[i] = event(events[kinds[i%len(kinds)]])
		all[i].ID = fmt.Sprintf("%022d", i)
	}
	return all
}

func TestBatchRoundTrip(t *testing.T) {
	k := key("broker")
	for _, n := range []int{1, 2, 6, protocol.MaxBatchEvents} {
		all := inBatch(n)
		token, signed, err := protocol.SignBatch(k, all)
		if err != nil || signed != n {
			t.Fatalf("%d of %d signed, %v", signed, n, err)
		}
		b, err := protocol.ParseBatch(token)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b.Events, all) {
			t.Errorf("got %+v, want %+v", b.Events, all)
		}
		wantError(t, b.Verify(keysOf(k), opening.Add(60*time.Second)))
		wantError(t, b.Verify(keysOf(k), opening.Add(61*time.Second)), protocol.ErrExpired)
		wantError(t, b.Verify(keysOf(k), opening.Add(-11*time.Second)), protocol.ErrClock)
		wantError(t, b.Verify(keysOf(key("other broker")), opening), protocol.ErrUnknownKey)
		impostor := keysOf(k)
		impostor[k.ID()] = key("other broker").Public()
		wantError(t, b.Verify(impostor, opening), registry.ErrSignature)
	}
}

// As many as fit, and of those the first.
func TestBatchBound(t *testing.T) {
	k := key("broker")
	all := inBatch(protocol.MaxBatchEvents + 1)
	token, n, err := protocol.SignBatch(k, all)
	b, parseErr := protocol.ParseBatch(token)
	if err != nil || parseErr != nil || n != protocol.MaxBatchEvents || !reflect.DeepEqual(b.Events, all[:n]) {
		t.Errorf("%d signed, %v, %v", n, err, parseErr)
	}
	words := make([]string, 100)
	for i := range words {
		words[i] = fmt.Sprintf("scope-%03d", i)
	}
	for i := range all {
		issued(&all[i])
		all[i].TokenRevoked, all[i].TokensRevoked = nil, nil
		all[i].TokenIssued.Scope = strings.Join(words, " ")
	}
	token, n, err = protocol.SignBatch(k, all)
	b, parseErr = protocol.ParseBatch(token)
	if err != nil || parseErr != nil || n != 32 || !reflect.DeepEqual(b.Events, all[:n]) {
		t.Errorf("of large ones %d signed, %v, %v", n, err, parseErr)
	}
}

func TestBatchNotSigned(t *testing.T) {
	change := func(f func(*protocol.Event)) []protocol.Event {
		all := inBatch(3)
		f(&all[2])
		return all
	}
	for name, all := range map[string][]protocol.Event{
		"none":               nil,
		"two issuers":        change(func(e *protocol.Event) { e.Issuer = "https://other.example" }),
		"two audiences":      change(func(e *protocol.Event) { e.Audience = "https://shop.example" }),
		"two times":          change(func(e *protocol.Event) { e.IssuedAt++ }),
		"no time":            {event(func(e *protocol.Event) { issued(e); e.IssuedAt = 0 })},
		"no jti":             change(func(e *protocol.Event) { e.ID = "" }),
		"bad event":          change(func(e *protocol.Event) { e.TokenRevoked.Reason = "?" }),
		"no event":           change(func(e *protocol.Event) { e.TokenRevoked = nil }),
		"for the federation": {event(disabled)},
	} {
		if token, n, err := protocol.SignBatch(key("broker"), all); err == nil {
			t.Errorf("%s: %d signed, %s", name, n, token)
		}
	}
}

func TestBatchForm(t *testing.T) {
	k := key("broker")
	frame := `{"iss":"https://broker.example","aud":"https://wiki.example","iat":1790000000,"sets":`
	body := `"events":{"urn:comity:event:token-revoked":{"token_hash":"` + digest + `","exp":1790000000,"reason":"x"}}`
	set := func(id string) string { return `{"jti":"` + id + `",` + body + `}` }
	a, b := set(strings.Repeat("a", 22)), set(strings.Repeat("b", 22))
	many := make([]string, protocol.MaxBatchEvents+1)
	for i := range many {
		many[i] = set(fmt.Sprintf("%022d", i))
	}
	change := `"events":{"urn:comity:event:client-disabled":{"client_id":"` + clientID + `","records":["a.b.c"]}}`
	for _, tt := range []struct {
		name, payload string
		ok            bool
	}{
		{"good", frame + `[` + a + `,` + b + `]}`, true},
		{"unknown claims", frame + `[` + strings.Replace(a, `{`, `{"txn":1,`, 1) + `],"x":1}`, true},
		{"64", frame + `[` + strings.Join(many[1:], ",") + `]}`, true},
		{"65", frame + `[` + strings.Join(many, ",") + `]}`, false},
		{"none", frame + `[]}`, false},
		{"null", frame + `null}`, false},
		{"object", frame + `{}}`, false},
		{"array of null", frame + `[null]}`, false},
		{"same jti", frame + `[` + a + `,` + b + `,` + a + `]}`, false},
		{"short jti", frame + `[` + set("a") + `]}`, false},
		{"no jti", frame + `[{` + body + `}]}`, false},
		{"no event", frame + `[{"jti":"` + id32 + `","events":{}}]}`, false},
		{"two events", frame + `[` + strings.Replace(a, `"events":{`, `"events":{"urn:comity:event:tokens-revoked":{"grant":"`+id32+`","cutoff":1,"reason":"x"},`, 1) + `]}`, false},
		{"unknown event", frame + `[{"jti":"` + id32 + `","events":{"urn:comity:event:other":{}}}]}`, false},
		{"no iat", strings.Replace(frame, `"iat":1790000000,`, ``, 1) + `[` + a + `]}`, false},
		{"bad iss", strings.Replace(frame, `https://broker`, `broker`, 1) + `[` + a + `]}`, false},
		{"bad aud", strings.Replace(frame, `https://wiki`, `wiki`, 1) + `[` + a + `]}`, false},
		{"for the federation", strings.Replace(frame, `https://wiki.example`, federation, 1) + `[{"jti":"` + id32 + `",` + change + `}]}`, false},
		{"own iss in a set", frame + `[` + a + `,` + strings.Replace(b, `{`, `{"iss":"https://other.example",`, 1) + `]}`, true}, // of no effect
		{"twice sets", frame + `[` + a + `],"sets":[` + b + `]}`, false},
		{"trailing", frame + `[` + a + `]}{}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			batch, err := protocol.ParseBatch(k.Sign(protocol.TypeBatch, []byte(tt.payload)))
			if (err == nil) != tt.ok {
				t.Fatalf("error is %v", err)
			}
			if err != nil {
				wantError(t, err, registry.ErrForm)
				return
			}
			for _, e := range batch.Events {
				if e.Issuer != issuer || e.Audience != resource || e.IssuedAt != start {
					t.Errorf("event %+v", e)
				}
			}
		})
	}
}

// fault 40: one thing signed is not taken for another.
func TestFault40BatchType(t *testing.T) {
	k := key("broker")
	batch, _, err := protocol.SignBatch(k, inBatch(1))
	wantError(t, err)
	one, err := protocol.SignEvent(k, event(issued))
	wantError(t, err)
	if _, err := protocol.ParseEvent(batch); err == nil {
		t.Error("a batch was read as an event")
	}
	if _, err := protocol.ParseBatch(one); err == nil {
		t.Error("an event was read as a batch")
	}
	if _, err := protocol.ParseBatch(k.Sign(protocol.TypeEvent, payload(t, batch))); err == nil {
		t.Error("a batch was read under the type of an event")
	}
	if _, err := protocol.ParseBatch(sign(t, k, protocol.TypeBatch, event(issued))); err == nil {
		t.Error("the claims of an event were read as a batch")
	}
}

func TestBatchAnswer(t *testing.T) {
	a, err := protocol.ParseBatchAnswer([]byte(`{"alone":["` + id32 + `","x"],"more":1}`))
	wantError(t, err)
	if len(a.Alone) != 2 || a.Alone[0] != id32 {
		t.Errorf("got %+v", a)
	}
	a, err = protocol.ParseBatchAnswer([]byte(`{"alone":[]}`))
	if err != nil || len(a.Alone) != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"alone":null}`, `{"alone":"x"}`, `{"alone":[1]}`, `{"Alone":[]}`, `{"alone":[],"alone":[]}`,
		`{"alone":[]} x`, `{"alone":[],"x":"` + strings.Repeat("x", 4096) + `"}`,
	} {
		_, err := protocol.ParseBatchAnswer([]byte(body))
		wantError(t, err, registry.ErrForm)
	}
}

func payload(t testing.TB, token string) []byte {
	t.Helper()
	p, ok := jws.Decode(strings.Split(token, ".")[1])
	if !ok {
		t.Fatal(token)
	}
	return p
}
