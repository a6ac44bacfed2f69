// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// Bounds of values in the DHT. docs/spec/dht.md is the specification.
const (
	// maxDHTStops bounds the stop records in one value: the votes of the
	// largest ban, and some suspensions.
	maxDHTStops = 512
	// maxHomeStops bounds those by the home broker itself.
	maxHomeStops = 8
	// maxProofHashes: no log has more levels (registry.MaxLogSize).
	maxProofHashes = 48
	// maxPlacedBytes is the longest proof and index around a record, as JSON.
	maxPlacedBytes = maxProofHashes*46 + 64
	maxClientValue = 2*registry.MaxRecordBytes + registry.MaxCheckpointBytes + maxDHTStops*registry.MaxRevocationBytes + maxHomeStops*maxPlacedBytes + 8<<10
	maxLogValue    = registry.MaxRecordBytes + registry.MaxCheckpointBytes + maxPlacedBytes + 1<<10
)

// clientValue is what the DHT has of one client.
type clientValue struct {
	// First is the record that the client is named by. It is absent when that
	// is the newest registration too.
	First        string         `json:"first,omitempty"`
	Registration placedRecord   `json:"registration"` // the newest one
	Stops        []placedRecord `json:"stops,omitempty"`
	Checkpoint   string         `json:"checkpoint"` // of the home's log
}

// logValue is what the DHT has of one member: the head of its log, and its
// newest broker record, which says where its peers are.
type logValue struct {
	Broker     *placedRecord `json:"broker,omitempty"`
	Checkpoint string        `json:"checkpoint"`
}

// placedRecord is a record, and its place in the log of the checkpoint beside it with
// the proof of that. A record that is in another log, or in none, has no index.
type placedRecord struct {
	Record string   `json:"record"`
	Index  *int64   `json:"index,omitempty"`
	Proof  []string `json:"proof,omitempty"` // lowest level first
}

func newPlaced(raw string, index int64, proof []registry.Hash) placedRecord {
	p := placedRecord{Record: raw, Index: &index}
	for _, h := range proof {
		p.Proof = append(p.Proof, jws.Base64.EncodeToString(h[:]))
	}
	return p
}

// index is the place in the log, -1 for none.
func (p placedRecord) index() int64 {
	if p.Index == nil {
		return -1
	}
	return *p.Index
}

// included checks the proof. The error is registry.ErrForm or ErrSignature.
func (p placedRecord) included(c *registry.Checkpoint) error {
	if p.Index == nil || len(p.Proof) > maxProofHashes {
		return fmt.Errorf("%w: a record without its place in the log", registry.ErrForm)
	}
	proof := make([]registry.Hash, len(p.Proof))
	for i, s := range p.Proof {
		b, ok := jws.Decode(s)
		if !ok || len(b) != len(registry.Hash{}) {
			return fmt.Errorf("%w: an inclusion proof that is not base64url hashes", registry.ErrForm)
		}
		proof[i] = registry.Hash(b)
	}
	return registry.CheckInclusion(proof, c.Size, c.Root, *p.Index, registry.LeafHash(p.Record))
}

// encodeValue writes a value in its one form: members in the order of the type,
// nothing that is empty, no space.
func encodeValue(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode a value of the DHT: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeValue reads what encodeValue writes and nothing else: a value that could
// be spelt in many ways could be stored over and over again.
func decodeValue(raw []byte, limit int, v any) error {
	if len(raw) > limit {
		return fmt.Errorf("%w: %w: a value of %d bytes, at most %d are allowed", registry.ErrForm, registry.ErrLimit, len(raw), limit)
	}
	if err := strictjson.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%w: value of the DHT: %w", registry.ErrForm, err)
	}
	again, err := encodeValue(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, again) {
		return fmt.Errorf("%w: a value of the DHT in another spelling than the one accepted", registry.ErrForm)
	}
	return nil
}
