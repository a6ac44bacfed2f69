// SPDX-License-Identifier: Apache-2.0

// Package federation keeps one broker's verified copy of all records of its
// federation, the replica, and says what follows from them: the state of every
// client and broker, the stop list, and whether that is certified and fresh.
// The rules themselves are those of package registry; this package adds time,
// memory, storage and a network to them.
//
//	Replica    what is known, and the only way in for what others signed
//	Network    connections to the other members: sync, gossip, redialling
//	Directory  this member's part in the DHT; LightReader reads it without a replica
//
// # One writer
//
// The broker's own records enter by Replica.Append alone. It allocates seq,
// prev and the log index under one lock, and stores the record, its Merkle
// hashes and the signed checkpoint in one transaction. A record is visible,
// and its checkpoint handed out, only after that is durable; so a crash leaves
// no half record, no number is used twice, and nothing that was acknowledged is
// missing. When the outcome of a write is unknown, the replica reads what is
// stored before it writes again.
//
// # One way in
//
// What others signed enters by Replica.Accept alone, whichever way it came, and
// is believed no further than its signatures go:
//
//   - Entries of a log, when Merkle hashes prove them under a checkpoint by the
//     key that is the broker's last one. A piece that ends before the checkpoint
//     proves by a consistency proof that it is a part of it, and is staged: it is
//     stored, and not shown before a head covers it. Form, author, key and quota
//     of each entry are checked then, and the signatures of stops and broker
//     records; those of registrations when they are first used. A bad one is
//     void.
//   - Stops outside of a log, on their signature by a current key: suspensions,
//     and revocations by the home. They stay until a log holds them. Votes and
//     reinstatements count in a log only.
//   - Views, strictly newer ones of each active member, at most 10 s ahead.
//   - Charters: the next version, signatures, and proposals that an active
//     member has signed, a few of each.
//   - Evidence: the document of a registry.Fork, or two records of one home about
//     one client that contradict each other, as {"a":"<JWS>","b":"<JWS>"}.
//
// A head that is older than the one held, or of another history, is never taken;
// the latter makes a proof, which stops the broker and freezes its log. Members
// may hold different branches of a frozen log. They exchange what stands in it
// about others' clients as stops that were heard, and place all of it at the
// first index of the broker's key, so that they come to one stop list.
//
// Accept returns when what was new is durable. OnChange is told of others' stops
// as of own ones, and followers (Replica.Follow) of everything, so that it can be
// passed on. Order of arrival never matters (fault 55).
//
// # The own key elsewhere
//
// When others have a head of this broker's log that is ahead of the stored one or
// contradicts it, or a view that was not signed here, another process has the
// key, or the data directory was set back. Then the replica signs nothing any
// more, and is stale (fault 67).
//
// # How records move
//
// Network keeps a libp2p connection to every member, at the addresses of its
// newest broker record or of the one at its issuer URL. On each it tells what is
// durable here (heads, docs/spec/sync.md), which is the acknowledgement that
// Acknowledged and Heads report, and pulls what is missing here. What this broker
// signs it also publishes at once (docs/spec/gossip.md). The gossip validator, the
// pulls and the values of the DHT (docs/spec/dht.md) all end in Accept; their
// outcomes and errors decide what is passed on and which peer is at fault. Peers
// of nobody may read the DHT, in a bounded number, and are believed nothing.
//
// # Memory
//
// Registrations stay in the store. In memory are the charters, heads, newest
// views and broker records, every record about clients that are or were
// stopped (the stop list follows from those alone), and a bounded number of
// states of other clients, the last ones asked for.
//
// # Trust
//
// The store is trusted to return what was written, or an error. As a guard
// against damage, and against a directory that was copied or set back, Open
// checks the heads of all logs against their keys and hashes and refuses what
// does not fit; a record that is read later is checked against its CID. The
// clock is trusted to be right within ten seconds; Open and Append refuse to
// sign anything when it is behind what was signed before, a replica is stale
// while it lags the clocks of a quorum of the others (fault 68), and intervals
// are measured on the monotonic clock.
//
// # Views
//
// Replica.Run signs a view every 30 seconds (four times in max_age, where that is
// shorter) and within a second after the stop
// list changes; iat strictly increases and is stored before the view is shown.
// Fresh says whether a quorum of members, in a federation of one the broker
// itself, confirmed the stop list within the charter's max_age. Who acts for
// others asks Fresh first and does nothing when it returns an error.
package federation
