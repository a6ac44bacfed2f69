// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"strings"
)

// smallVectors are the parts of records that an implementation is most likely
// to take from a library that accepts too much.
func smallVectors() []vector {
	var all []vector
	add := func(kind string, rows [][4]string) {
		for _, r := range rows {
			all = append(all, vector{name: kind + "-" + r[0], kind: kind, expect: r[1], why: r[2], object: []byte(r[3])})
		}
	}
	add("cid", cidRows())
	add("jwk", jwkRows())
	add("redirect-uri", redirectRows())
	add("native-redirect-uri", [][4]string{
		{"scheme", "valid", "", "com.example.app:/callback"},
		{"scheme-host", "valid", "", "com.example.app://callback/done"},
		{"loopback", "valid", "", "http://127.0.0.1/callback"},
		{"scheme-short", "value:uri", "A scheme is a reverse domain name.", "myapp:/callback"},
		{"javascript", "value:uri", "A script is not a place.", "javascript:/alert(1)"},
	})
	return all
}

func cidRows() [][4]string {
	return [][4]string{
		{"of-nothing", "valid", "", someCID},
		{"upper-case", "value:cid", "Upper case is another spelling.", strings.ToUpper(someCID)},
		{"mixed-case", "value:cid", "Upper case is another spelling.", change(someCID, "hdw", "Hdw")},
		{"v0", "value:cid", "Version 0 is another spelling.", "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"},
		{"dag-pb", "value:cid", "The codec is raw.", "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
		{"identity", "value:cid", "The identity hash holds the bytes and names none.", "bafkqaaik"},
		{"identity-long", "value:cid", "The identity hash, padded to the usual length.", "bafkqaifdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
		{"truncated", "value:cid", "The last character is missing.", someCID[:58]},
		{"stray-bits", "value:cid", "The last character has bits that belong to no byte.", someCID[:58] + "v"},
		{"base58", "value:cid", "The base is base32.", "zb2rhmy65F3REf8SZp7De11gxtECBGgUKaLdiDj7MCGCHxbDW"},
		{"space", "value:cid", "A space at the end is a foreign byte.", someCID[:58] + " "},
		{"empty", "value:cid", "There is nothing.", ""},
	}
}

func jwkRows() [][4]string {
	of := func(x string) string { return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, x) }
	good := jwkJSON(fixedKey(1))
	return [][4]string{
		{"with-kid", "valid", "", good},
		{"without-kid", "valid", "", keysEd25519},
		{"for-signing", "valid", "", with(good, `"use":"sig","alg":"EdDSA"`)},
		{"order-1", "value:x", "A point of order 1.", of("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")},
		{"order-2", "value:x", "A point of order 2.", of("7P_______________________________________38")},
		{"order-4", "value:x", "A point of order 4.", of("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")},
		{"order-4-negative", "value:x", "The other point of order 4.", of("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA")},
		{"order-8", "value:x", "A point of order 8.", of("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU")},
		{"order-8-other", "value:x", "Another point of order 8.", of("xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o")},
		{"not-canonical", "value:x", "2^255-18 is 1 in another spelling.", of("7v_______________________________________38")},
		{"not-canonical-other", "value:x", "2^255-16 is 3 in another spelling.", of("8P_______________________________________38")},
		{"not-on-curve", "value:x", "There is no point with this coordinate.", of("AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")},
		{"short", "value:x", "31 bytes are one too few.", of("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ")},
		{"padding", "value:x", "Base64url has no padding here.", of("7Ui9Cwh_6Pz5vH-TBVTBDn7Q2a_S1ZcVsOvRLyNLJx0=")},
		{"x25519", "value:crv", "A key for encryption does not sign.", change(keysEd25519, "Ed25519", "X25519")},
		{"ec", "value:kty", "Records are signed with Ed25519.", keysP256},
		{"kid-of-another", "kid", "The kid is the thumbprint of another key.", change(good, fixedKey(1).ID(), fixedKey(2).ID())},
		{"private", "unwanted:d", "The private half is published.", with(good, `"d":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"`)},
		{"encryption", "value:use", "A key for encryption does not sign.", with(good, `"use":"enc"`)},
		{"alg", "value:alg", "The algorithm does not fit the key.", with(good, `"alg":"ES256"`)},
	}
}

func redirectRows() [][4]string {
	return [][4]string{
		{"https", "valid", "", "https://app.example/callback"},
		{"https-query", "valid", "", "https://app.example/callback?tenant=7&x=%2F"},
		{"https-port", "valid", "", "https://app.example:8443/"},
		{"loopback-4", "valid", "", "http://127.0.0.1:8765/callback"},
		{"loopback-6", "valid", "", "http://[::1]/callback"},
		{"punycode", "valid", "", "https://xn--bcher-kva.example/callback"},
		{"http", "value:uri", "Plain http can be read on the way.", "http://app.example/callback"},
		{"localhost", "value:uri", "The name localhost may lead anywhere.", "http://localhost/callback"},
		{"fragment", "value:uri", "A fragment swallows the code.", "https://app.example/callback#"},
		{"userinfo", "value:uri", "What stands before @ is not the host.", "https://app.example@evil.example/callback"},
		{"backslash", "value:uri", "Browsers read a backslash as a slash.", `https://evil.example\@app.example/callback`},
		{"dot-segments", "value:uri", "The path goes up.", "https://app.example/open/../callback"},
		{"encoded-dots", "value:uri", "The path goes up, encoded.", "https://app.example/open/%2e%2e/callback"},
		{"encoded-slash", "value:uri", "A slash is encoded in the path.", "https://app.example/open%2F..%2Fcallback"},
		{"encoded-line-feed", "value:uri", "A control character is encoded.", "https://app.example/callback?x=%0a"},
		{"upper-case-host", "value:uri", "The host is in lower case.", "https://App.example/callback"},
		{"default-port", "value:uri", "The default port is left out.", "https://app.example:443/callback"},
		{"no-path", "value:uri", "The slash after the host is written out.", "https://app.example"},
		{"idn", "value:uri", "The host is in punycode.", "https://bücher.example/callback"},
		{"space", "value:uri", "A space is encoded.", "https://app.example/call back"},
		{"hex-address", "value:uri", "Browsers read this as 127.0.0.1.", "http://0x7f.1/callback"},
		{"number-address", "value:uri", "Browsers read this as 127.0.0.1.", "http://2130706433/callback"},
		{"javascript", "value:uri", "A script is not a place.", "javascript:alert(1)"},
		{"data", "value:uri", "Data are not a place.", "data:text/html,x"},
		{"relative", "value:uri", "A relative reference leads to the broker.", "/callback"},
		{"scheme", "value:uri", "A scheme of its own is for native clients.", "com.example.app:/callback"},
		{"wildcard", "value:uri", "Redirect URIs are compared as they stand.", "https://*.example/callback"},
	}
}
