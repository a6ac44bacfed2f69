// SPDX-License-Identifier: Apache-2.0

package registry

// Entry is a verified record at its place in its issuer's log.
type Entry struct {
	Record *Record
	Index  int64 // position in the log; -1: not under a verified checkpoint
}

// ClientStatus is the verdict of the fold on a client.
type ClientStatus string

// States of a client.
const (
	ClientActive    ClientStatus = "active"
	ClientSuspended ClientStatus = "suspended"
	ClientRevoked   ClientStatus = "revoked"
	ClientDisputed  ClientStatus = "disputed"
)

// BrokerStatus is the verdict of the fold on a broker.
type BrokerStatus string

// States of a broker.
const (
	BrokerActive    BrokerStatus = "active"
	BrokerSuspended BrokerStatus = "suspended"
	BrokerExpelled  BrokerStatus = "expelled"
	BrokerForked    BrokerStatus = "forked"
)

// ClientState is what the records say of one client at one time. It changes by
// the passing of time alone only when Until comes.
type ClientState struct {
	ID            string
	Home          string       // issuer of the home broker; empty: none, ID is a URL (IsClientURL)
	HomeStatus    BrokerStatus // other than active: the client is stopped with its home
	Status        ClientStatus
	Reason        string    // of the stop, as its author gave it; empty when active, disputed or stopped with its home
	Since         int64     // when the stop was issued (iat); 0 when active or stopped with its home
	Until         int64     // suspended: when it ends by itself; 0: when it is lifted
	Cutoff        int64     // tokens with iat ≤ Cutoff are dead for good; 0: none
	LeastSequence int64     // registrations with a lower seq hold compromised credentials
	CompromisedAt int64     // iat of the registration that says so; 0: none does
	First         *Record   // the registration with seq 0
	Registration  *Record   // the newest registration that counts; nil: ID is a URL
	Index         int64     // its log index
	Because       []*Record // the records that justify the stop; empty when active or stopped with its home
	Sequence      int64     // highest seq of the home's unbroken history
	Last          string    // CID of the record with that seq
}

// Accepts reports whether a token of the client that was issued at that second
// is good, as far as the client goes.
func (c ClientState) Accepts(issuedAt int64) bool {
	return c.Status == ClientActive && issuedAt > c.Cutoff
}

// BrokerState is what charter, records and evidence say of one broker.
type BrokerState struct {
	Issuer string
	KeyID  string // thumbprint of its current record key
	Status BrokerStatus
	Record *Record // its newest broker record, nil if none is known
}

// State is the verdict on everything that Fold was given.
type State struct {
	Clients map[string]ClientState // by client_id
	Brokers map[string]BrokerState // by issuer
}
