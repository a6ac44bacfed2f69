// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"crypto/ed25519"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// PeerID is the libp2p identity of the host with that peer key, as broker
// records name it.
func PeerID(key ed25519.PrivateKey) (string, error) {
	if len(key) != ed25519.PrivateKeySize {
		return "", fmt.Errorf("peer key of %d bytes is not an Ed25519 private key", len(key))
	}
	parsed, err := crypto.UnmarshalEd25519PublicKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return "", fmt.Errorf("peer key: %w", err)
	}
	id, err := peer.IDFromPublicKey(parsed)
	if err != nil {
		return "", fmt.Errorf("peer key: %w", err)
	}
	return id.String(), nil
}
