// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/node/brokered/oauth1"
)

// The examples of docs/spec/brokered.md are what the code reads and signs.
func TestSpecExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/brokered.md")
	check(t, err)
	blocks := map[string]string{} // by their first words
	for i, block := range strings.Split(string(page), "```") {
		if i%2 == 1 {
			_, text, _ := strings.Cut(block, "\n")
			first, _, _ := strings.Cut(text, " HTTP/1.1")
			first, _, _ = strings.Cut(first, "&https")
			blocks[first] = strings.TrimSuffix(text, "\n")
		}
	}
	read := func(block string) (*http.Request, []byte) {
		t.Helper()
		head, body, ok := strings.Cut(blocks[block], "\n\n")
		if !ok {
			t.Fatalf("no example of %s", block)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
		check(t, err)
		io.Copy(io.Discard, r.Body)
		return r, []byte(body)
	}
	r, body := read("POST /broker/connect/")
	signed, err := oauth1.Parse(r, &url.URL{Scheme: "https", Host: "broker.example"}, body)
	check(t, err)
	check(t, signed.VerifyHMAC("Rk1d0yV3mJ5wq8sT2uX7zA", ""))
	if signed.BaseString() != blocks["POST"] {
		t.Errorf("base string is %s, on the page %s", signed.BaseString(), blocks["POST"])
	}
	_, body = read("POST /broker/confirm/")
	form, err := brokered.ParseConfirm(string(body))
	check(t, err)
	if _, id, _, _ := form.Members(); id != signed.ConsumerKey {
		t.Errorf("confirm is for %s", id)
	}
	replies := 0
	for _, block := range blocks {
		if !strings.HasPrefix(block, `{"client_id"`) {
			continue
		}
		if strings.Contains(block, "server_url") {
			_, err := brokered.ParseMemberRequest([]byte(block))
			check(t, err)
			continue
		}
		replies++
		_, _, err := brokered.ParseMemberReply([]byte(block), signed.ConsumerKey)
		if f := brokeredFailure(err); err != nil && (f == nil || f.Code != "ba.unknown_broker") {
			t.Error(err)
		}
	}
	if replies != 2 {
		t.Errorf("%d examples of replies", replies)
	}
}
