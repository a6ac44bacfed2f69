// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/site/protocol"
)

// TestTokenKey: the key of each kind of token begins with the time of its expiry,
// and with none where there is none in it, as in tokens of former versions.
func TestTokenKey(t *testing.T) {
	w := newWorld(t)
	expires := func(w *world) string { return fmt.Sprintf("%012x.", 1000*(w.clock.now().Unix()+3600)) }
	access, refresh := tokens(t, w.public().login(w.site))
	j := newWorld(t)
	j.site.meta.AccessTokenFormat = protocol.FormatJWT
	signed, _ := tokens(t, j.public().login(j.site))

	if strings.Count(signed, ".") != 2 {
		t.Fatalf("%s is no JWT", signed)
	}
	jwt := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".x"
	}
	const none = "000000000000."
	for token, time := range map[string]string{
		access: expires(w),
		signed: expires(j),

		strings.Repeat("x", 43):                                                     none,
		strings.Repeat("x", 50):                                                     none,
		strings.Repeat("*", 51):                                                     none,
		"AAAA\nAAA" + strings.Repeat("A", 43):                                       none,
		jwt(`{"jti":"AAECAwQFBgcICQoLDA0ODw"}`):                                     none,
		jwt(`{"jti":"0123456789abcdef0123456789abcdef"}`):                           "0123456789ab.",
		jwt(`{"jti":"0123456789ABCDEF0123456789abcdef"}`):                           "0123456789ab.",
		jwt(`{"jti":"0123456789abcdef0123456789abcdeg"}`):                           none,
		jwt(`{"jti":"0123456789abcdef0123456789abcd"}`):                             none,
		"e30.eyJq\ndGkiOiIwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZiJ9.x":          none,
		jwt(`{"jti":7}`):                                                            none,
		strings.TrimSuffix(jwt(`{"jti":"0123456789abcdef0123456789abcdef"}`), ".x"): none,
		"": none, ".": none, "..": none, "a.*.b": none,
	} {
		if got := oauth.TokenKey(token); got != time+protocol.TokenHash(token) {
			t.Errorf("%s: %s, expected the time %s", token, got, time)
		}
	}
	if key := oauth.TokenKey(refresh); key <= fmt.Sprintf("%012x.", 1000*(w.clock.now().Unix()+86400)) {
		t.Errorf("a refresh token expires at %s", key)
	}
	if other := oauth.TokenKey(access[:20]); (oauth.Token{Key: other}).Hash() != protocol.TokenHash(access[:20]) {
		t.Errorf("the hash in %s", other)
	}
}

func FuzzTokenKey(f *testing.F) {
	f.Add(strings.Repeat("A", 51))
	f.Add("AAAA\nAAA" + strings.Repeat("A", 43))
	f.Add("e30.eyJqdGkiOiIwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZiJ9.x")
	form := regexp.MustCompile(`^[0-9a-f]{12}\.[A-Za-z0-9_-]{43}$`)
	f.Fuzz(func(t *testing.T, token string) {
		key := oauth.TokenKey(token)
		if !form.MatchString(key) || !strings.HasSuffix(key, protocol.TokenHash(token)) {
			t.Fatal(key)
		}
	})
}
