// SPDX-License-Identifier: Apache-2.0

// Package federation keeps one broker's verified copy of all records of its
// federation, the replica, and says what follows from them: the state of every
// client and broker, the stop list, and whether that is certified and fresh.
// The rules themselves are those of package registry; this package adds time,
// memory and storage to them.
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
// sign anything when it is behind what was signed before (fault 68), and
// intervals are measured on the monotonic clock.
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
