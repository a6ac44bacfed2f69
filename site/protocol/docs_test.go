// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/site/protocol"
)

// block returns the nth fenced block of one kind on a page of docs/spec.
func block(t *testing.T, page, kind string, n int) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/" + page)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```"+kind+"\n(.*?)\n```").FindAllSubmatch(text, -1)
	if len(found) <= n {
		t.Fatalf("%s has %d blocks of %s", page, len(found), kind)
	}
	return string(found[n][1])
}

// Whoever implements a page tests against its examples: they verify, and say
// what the page says in clear.
func TestDocsExamples(t *testing.T) {
	now := time.Unix(start+2, 0)
	m, err := protocol.ParseSiteMetadata([]byte(block(t, "site-metadata.md", "json", 0)), resource)
	if err != nil || !m.Delegates(issuer) {
		t.Errorf("metadata: %+v, %v", m, err)
	}
	whole := strings.TrimSuffix(strings.TrimSpace(block(t, "site-metadata.md", "json", 0)), "}") + "," +
		strings.TrimPrefix(strings.TrimSpace(block(t, "site-metadata.md", "json", 1)), "{")
	m, err = protocol.ParseSiteMetadata([]byte(whole), resource)
	if err != nil || !m.AllowsDirect("https://broker.example", "client_credentials") {
		t.Errorf("the site that has opted in: %v", err)
	}
	keys, err := protocol.ParseJWKS([]byte(block(t, "site-metadata.md", "json", 2)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := protocol.ParseCode(block(t, "code.md", "code", 0))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Verify(keys, now))
	clear, err := protocol.ParseCode(key("site").Sign(protocol.TypeCode, []byte(block(t, "code.md", "json", 0))))
	if err != nil || clear.Code != c.Code {
		t.Errorf("the code in clear is %+v, %v", clear, err)
	}
	e, err := protocol.ParseEvent(block(t, "notification.md", "event", 0))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, e.Verify(keysOf(key("broker")), now))
	wantError(t, e.CheckAudience(resource, federation))
	plain, err := protocol.ParseEvent(key("broker").Sign(protocol.TypeEvent, []byte(block(t, "notification.md", "json", 0))))
	if err != nil || *plain.TokenIssued != *e.TokenIssued || plain.ID != e.ID {
		t.Errorf("the event in clear is %+v, %v", plain, err)
	}
	b, err := protocol.ParseBatch(block(t, "notification.md", "batch", 0))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, b.Verify(keysOf(key("broker")), now))
	plainBatch, err := protocol.ParseBatch(key("broker").Sign(protocol.TypeBatch, []byte(block(t, "notification.md", "json", 1))))
	if err != nil || len(b.Events) != 2 || !reflect.DeepEqual(plainBatch.Events, b.Events) {
		t.Errorf("the batch in clear is %+v, %v", plainBatch, err)
	}
	if e.TokenIssued.TokenHash != protocol.TokenHash("token") {
		t.Error("the event is not about the token")
	}
	if e.TokenIssued.Grant != c.Grant || e.TokenIssued.CodeJTI != c.ID {
		t.Error("the event is not about the code")
	}
}
