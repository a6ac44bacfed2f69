// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/registry"
)

// keys are the private keys of a node, one file each under keys/ in the data
// directory. Each has one use.
type keys struct {
	record registry.SigningKey // signs records, checkpoints, views and charters
	token  registry.SigningKey // signs notifications and JWTs
	peer   ed25519.PrivateKey  // identifies the libp2p host
	peerID string

	subject []byte // what people are called towards apps: see accounts.Subject
}

// openKeys reads the keys in dir. Where there is no database yet (fresh), keys
// that do not exist are made. Beside a database a missing key is an error: a
// broker that took a new identity in silence could not speak for its log.
func openKeys(dir string, fresh bool) (keys, error) {
	if err := durable.PrivateDir(dir); err != nil {
		return keys{}, err
	}
	private := map[string]ed25519.PrivateKey{}
	for _, use := range []string{"record", "token", "peer"} {
		key, err := durable.OpenKey(filepath.Join(dir, use+".pem"), use, fresh)
		if err != nil {
			return keys{}, err
		}
		private[use] = key
	}
	id, err := federation.PeerID(private["peer"])
	if err != nil {
		return keys{}, fmt.Errorf("peer key: %w", err)
	}
	return keys{
		record: registry.NewSigningKey(private["record"]),
		token:  registry.NewSigningKey(private["token"]),
		peer:   private["peer"],
		peerID: id,
	}, nil
}

// openSubjectKey reads the key of pairwise subjects. Unlike the others it may be
// made beside a database, since data directories of versions without accounts
// have none; but only as long as there is no account, for with another key
// everybody would be a stranger to every app. The file is like the others', so
// that damage and swapped files are noticed; nothing is signed with it, the
// seed is what counts.
func (n *Node) openSubjectKey(ctx context.Context) error {
	users, err := n.store.ListUsers(ctx, "", 1)
	if err != nil {
		return err
	}
	key, err := durable.OpenKey(filepath.Join(n.cfg.DataDir, "keys", "subject.pem"), "subject", len(users) == 0)
	if err != nil {
		return err
	}
	n.keys.subject = key.Seed()
	return nil
}
