// SPDX-License-Identifier: Apache-2.0

package oauth1

import "time"

// Window is how far a timestamp may be from the clock of whoever verifies,
// either way. It is what WordPress sites grant their clients.
const Window = 900 * time.Second

// The bounds of one request. Sizes are in bytes; those of parameters count what
// is left after decoding.
const (
	// maxHeader holds every protocol parameter at its longest with each byte
	// encoded, but for the callback, which is then as long as URLs are.
	maxHeader = 8 << 10
	// maxQuery is what browsers and proxies pass on.
	maxQuery = 8 << 10
	// maxBody is many times a connection request. The base string is at most
	// five times as long as what it is made of.
	maxBody = 64 << 10
	// maxParameters bounds what is sorted. A connection request has seven.
	maxParameters = 100

	// maxKey bounds keys of clients, tokens and verifiers: the protocol of
	// brokered authentication has names of up to 255.
	maxKey = 255
	// maxNonce bounds what is remembered of each request: a SHA-512 in
	// hexadecimal fits.
	maxNonce = 128
	// maxTimestamp is the length of the largest int64.
	maxTimestamp = 19
	// maxCallback is the length that every browser can follow.
	maxCallback = 2048
	// maxSignature is that of the longest RSA key, in base64.
	maxSignature = 684
	// maxWord bounds the names of methods and versions.
	maxWord = 32

	// Shorter RSA keys can be broken; longer ones only cost time, which
	// strangers could make us spend.
	minRSABits, maxRSABits = 2048, 4096
)
