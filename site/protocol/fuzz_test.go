// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/comity-network/comity/site/protocol"
)

// What is accepted means the same when it is written again.
func FuzzParseCode(f *testing.F) {
	k := key("site")
	for _, c := range []protocol.Code{code(), {}} {
		payload, _ := json.Marshal(c)
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := protocol.ParseCode(k.Sign(protocol.TypeCode, payload))
		if err != nil {
			return
		}
		again, err := protocol.SignCode(k, c.Code)
		if err != nil {
			t.Fatalf("accepted, but cannot be signed: %v", err)
		}
		if d, err := protocol.ParseCode(again); err != nil || d.Code != c.Code {
			t.Fatalf("changed on the way: %+v", d)
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	k := key("broker")
	for _, set := range events {
		payload, _ := json.Marshal(event(set))
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := protocol.ParseEvent(k.Sign(protocol.TypeEvent, payload))
		if err != nil {
			return
		}
		again, err := protocol.SignEvent(k, e.Event)
		if err != nil {
			t.Fatalf("accepted, but cannot be signed: %v", err)
		}
		if d, err := protocol.ParseEvent(again); err != nil || !reflect.DeepEqual(d.Event, e.Event) {
			t.Fatalf("changed on the way: %+v", d)
		}
	})
}

func FuzzParseSiteMetadata(f *testing.F) {
	raw, _ := json.Marshal(metadata())
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := protocol.ParseSiteMetadata(data, resource)
		if err != nil {
			return
		}
		for _, u := range []string{m.JWKSURI, m.AuthorizationEndpoint, m.EventsEndpoint} {
			if protocol.Origin(u) != resource && (u != "" || m.JWKSURI == "") {
				t.Fatalf("%q is of another origin", u)
			}
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	own, _ := json.Marshal(key("site").JWK())
	f.Add([]byte(`{"keys":[` + string(own) + `]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := protocol.ParseJWKS(data)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys and error %v", len(keys), err)
		}
	})
}

func FuzzParseBatch(f *testing.F) {
	k := key("broker")
	for _, n := range []int{1, 6} {
		token, _, err := protocol.SignBatch(k, inBatch(n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload(f, token))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := protocol.ParseBatch(k.Sign(protocol.TypeBatch, payload))
		if err != nil {
			return
		}
		again, n, err := protocol.SignBatch(k, b.Events)
		if err != nil || n > len(b.Events) {
			t.Fatalf("accepted, but cannot be signed: %d, %v", n, err)
		}
		if d, err := protocol.ParseBatch(again); err != nil || !reflect.DeepEqual(d.Events, b.Events[:n]) {
			t.Fatalf("changed on the way: %+v", d)
		}
	})
}

func FuzzParseBatchAnswer(f *testing.F) {
	f.Add([]byte(`{"alone":["iiiiiiiiiiiiiiiiiiiiii"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := protocol.ParseBatchAnswer(data); err == nil && (a.Alone == nil || len(data) > protocol.MaxAnswerBytes) {
			t.Fatalf("%+v", a)
		}
	})
}
