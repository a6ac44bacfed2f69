// SPDX-License-Identifier: Apache-2.0

package protocol

import "time"

// Every bound of the package, with its reason.
const (
	// MaxCodeBytes is the longest code, as characters: it travels in the query
	// of a redirect, where servers and browsers cut at about 8 KiB.
	MaxCodeBytes = 6 << 10
	// MaxAssertionBytes is the longest site assertion.
	MaxAssertionBytes = 4 << 10
	// MaxRequestBytes is the longest request object; it travels in a query too.
	MaxRequestBytes = 7 << 10
	// MaxEventBytes is the longest event, and the longest batch. A registration
	// and a handful of revocations fit.
	MaxEventBytes = 64 << 10
	// MaxBatchEvents bounds the events of one batch: the more there are, the
	// less one more saves, and the longer all of them wait.
	MaxBatchEvents = 64
	// MaxEventRecords bounds the records in one event. The rest of a larger
	// proof is in the logs, and the verdict is in the stop list.
	MaxEventRecords = 32
	// MaxPollBytes is the longest poll request and answer.
	MaxPollBytes = 1 << 20
	// MaxPollEvents bounds the events of one poll answer, and the
	// acknowledgements of one poll request.
	MaxPollEvents = 100
	// MaxMetadataBytes is the longest site metadata document and JWK set.
	MaxMetadataBytes = 64 << 10
	// MaxAnswerBytes is the longest answer to a push.
	MaxAnswerBytes = 4 << 10
	// MaxServers bounds authorization_servers.
	MaxServers = 32

	// MaxCodeLife is the longest life of a code and of a request object: they
	// are used at once by programs.
	MaxCodeLife = 60 * time.Second
	// MaxAssertionLife is the longest life of an assertion.
	MaxAssertionLife = 60 * time.Second
	// MaxEventAge is how old an event may be when it arrives. Brokers sign
	// each delivery attempt afresh, so that only a replay is older.
	MaxEventAge = 60 * time.Second
	// Skew is how far two honest clocks may differ.
	Skew = 10 * time.Second

	// Identifiers (jti, grant) are opaque, of [A-Za-z0-9._~-]: at least 22
	// characters, which 128 random bits need, at most 64.
	minIDBytes = 22
	maxIDBytes = 64
	// maxScopes bounds the words of one scope.
	maxScopes = 100
	// maxDirectGrants bounds the grant types that a site allows one broker.
	// There are three today.
	maxDirectGrants = 16
	// maxStateBytes bounds state: applications keep a signed cookie in it.
	maxStateBytes = 2048
	// maxNonceBytes bounds nonce and sub (OpenID Connect Core, section 2).
	maxNonceBytes = 255
	// maxDescriptionBytes is how much of an error description is kept.
	maxDescriptionBytes = 200
)
