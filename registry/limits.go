// SPDX-License-Identifier: Apache-2.0

package registry

import "time"

// Every bound of the package, with its reason. A record outside of a bound is
// refused everywhere, so a bound may be raised but never lowered.
const (
	// MaxRecordBytes is the longest record: a registration with a handful of
	// RSA keys and forty redirect URIs fits, and a million clients fit a disk.
	MaxRecordBytes = 16 << 10
	// MaxRevocationBytes is the longest revocation. Stops travel in one packet
	// and are pushed to every site, so they stay small.
	MaxRevocationBytes = 1 << 10
	// MaxViewBytes is the longest view: 1,000 members send 33 a second to
	// everybody, and a site fetches a handful every 30 s.
	MaxViewBytes = 1 << 10
	// MaxValues bounds the JSON values in one record, at every depth, so that
	// a short record cannot cost much memory (fault 45). A broker record with
	// all its peers and keys has 350.
	MaxValues = 1024
	// MaxRecordMembers bounds the members of a record, known and unknown.
	MaxRecordMembers = 64
	// MaxCharterBytes is the longest charter: 1,000 members with two keys each
	// and as many signatures.
	MaxCharterBytes = 1 << 20
	// MaxStopListBytes is the longest stop list that a reader takes.
	MaxStopListBytes = 16 << 20
	// MaxCheckpointBytes is the longest checkpoint note: one text, its
	// signature and sixteen cosignatures.
	MaxCheckpointBytes = 4 << 10

	// IDBytes is the size of a jti: 128 random bits, as 22 characters.
	IDBytes = 16

	// MaxURIBytes bounds every URI in a record.
	MaxURIBytes = 2048
	// MaxRedirectURIs bounds the redirect URIs of one client.
	MaxRedirectURIs = 40
	// MaxNameRunes bounds names that people read; longer ones do not fit the
	// consent page of a phone.
	MaxNameRunes = 80
	// MaxScopeBytes bounds the scope member.
	MaxScopeBytes = 1024
	// MaxKeys bounds the keys of one JWK set.
	MaxKeys = 10
	// MaxPeers bounds the peers of one broker, and the addresses of one peer.
	MaxPeers = 16
	// MaxAddressBytes bounds one multiaddr.
	MaxAddressBytes = 256
	// MaxEndpoints bounds the endpoints of one broker: RFC 8414 and its
	// extensions name about fifteen.
	MaxEndpoints = 32
	// MinRSABits and MaxRSABits bound the RSA keys of clients: shorter ones
	// can be broken; longer ones take too long to verify, and go-jose does not
	// read them.
	MinRSABits = 2048
	MaxRSABits = 4096
	// MaxMembers bounds the members of a federation.
	MaxMembers = 1000
	// MaxSeq bounds seq: far above any real history, far below 2^53, so that
	// every implementation can count one further (fault 29).
	MaxSeq = 1 << 31
	// MaxTime is the largest timestamp, the end of the year 9999 minus one
	// year: later ones do not survive a round trip through RFC 3339.
	MaxTime = 253370764800

	// MinTime is the smallest timestamp, the start of the year 2020: an
	// earlier one comes from a clock that was never set.
	MinTime = 1577836800

	// MaxAhead is how far a timestamp may lie in the future (clock skew).
	MaxAhead = 10 * time.Second
	// MaxCutoffAhead is how far a cutoff may lie after the iat of its record.
	MaxCutoffAhead = 60 * time.Second
	// ResuspendAfter is how long a member must wait before it suspends a
	// client of another member again.
	ResuspendAfter = 30 * 24 * time.Hour
	// ListedFor is how long compromised credentials and cutoffs of clients
	// that are active again stay in the stop list: no token and no cached
	// registration lives longer.
	ListedFor = 30 * 24 * time.Hour
)

// Bounds of logs and charters.
const (
	// MaxLogSize bounds the entries of one log: what six levels of tiles hold
	// (C2SP tlog-tiles), far below where an index would overflow.
	MaxLogSize = 1 << 48
	// MaxCosignatures bounds the signature lines of a checkpoint beside the
	// log's own.
	MaxCosignatures = 16
	// MaxForkBytes bounds the file of a fork: two checkpoints and a proof.
	MaxForkBytes = 32 << 10
	// MaxMemberKeys bounds the record keys of one member over its whole life.
	MaxMemberKeys = 64

	// MinMaxAge is the shortest max_age. Below two seconds the whole seconds
	// of iat alone could make a view stale; a useful federation has minutes,
	// but tests and demonstrations should not have to wait for them.
	MinMaxAge = 2
	// MaxMaxAge is the longest max_age. It is the promise to sites: one hour
	// is no longer "stopped everywhere, soon".
	MaxMaxAge = 3600
	// MaxMaxSuspension bounds max_suspension: what one member alone may do to
	// another's client is for emergencies, a week at most.
	MaxMaxSuspension = 7 * 24 * 3600
	// MaxSuspensionQuota bounds suspension_quota.
	MaxSuspensionQuota = 10_000
	// MaxClientsPerMember bounds clients_per_member.
	MaxClientsPerMember = 10_000_000
)
