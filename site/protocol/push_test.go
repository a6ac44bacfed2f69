// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func TestPushError(t *testing.T) {
	e, err := protocol.ParsePushError([]byte(`{"err":"invalid_grant","description":"the \"grant\"\nended é"}`))
	wantError(t, err)
	if e.Err != protocol.ErrInvalidGrant || e.Description != "the ?grant??ended ?" {
		t.Errorf("got %+v", e)
	}
	e, err = protocol.ParsePushError([]byte(`{"err":"stale","description":"` + strings.Repeat("x", 3000) + `"}`))
	wantError(t, err)
	if len(e.Description) != 200 {
		t.Errorf("description of %d characters", len(e.Description))
	}
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `{"err":""}`, `{"err":"nonsense"}`, `{"Err":"stale"}`, `{"err":"stale","err":"stale"}`,
		`{"err":"stale"} x`, `{"err":["stale"]}`, `{"error":"stale"}`, `{"err":"stale","x":"` + strings.Repeat("x", 4096) + `"}`,
	} {
		_, err := protocol.ParsePushError([]byte(body))
		wantError(t, err, registry.ErrForm)
	}
}

func TestPollRequest(t *testing.T) {
	r, err := protocol.ParsePollRequest([]byte(`{"maxEvents":0,"ack":["` + id32 + `"],"setErrs":{"` + id32 + `":{"err":"jwtParse","description":"a\nb"}}}`))
	wantError(t, err)
	if *r.MaxEvents != 0 || len(r.Ack) != 1 || r.SetErrs[id32].Description != "a?b" {
		t.Errorf("got %+v", r)
	}
	acks, _ := json.Marshal(make([]string, protocol.MaxPollEvents+1))
	for _, body := range []string{
		``, `[]`, `{"maxEvents":-1}`, `{"maxEvents":"1"}`, `{"ack":["x"]}`, `{"ack":[1]}`, `{"ack":` + string(acks) + `}`,
		`{"setErrs":{"x":{"err":"a"}}}`, `{"setErrs":{"` + id32 + `":{}}}`, `{"ack":[],"ack":[]}`,
	} {
		_, err := protocol.ParsePollRequest([]byte(body))
		wantError(t, err, registry.ErrForm)
	}
}

func TestPollAnswer(t *testing.T) {
	a, err := protocol.ParsePollAnswer([]byte(`{"sets":{"` + id32 + `":"a.b.c"},"moreAvailable":true}`))
	wantError(t, err)
	if !a.MoreAvailable || a.Sets[id32] != "a.b.c" {
		t.Errorf("got %+v", a)
	}
	for _, body := range []string{`{"sets":{"x":"a"}}`, `{"sets":[]}`, `{"sets":{"` + id32 + `":1}}`} {
		_, err := protocol.ParsePollAnswer([]byte(body))
		wantError(t, err, registry.ErrForm)
	}
}
