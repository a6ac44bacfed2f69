// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/registry"
)

// SQLite drops the end of its journal when that is damaged, without a word, and
// an old copy of a database looks like any other. The log would then grow a
// second time from an earlier size: a fork, signed by ourselves. So the newest
// own checkpoint also stands in a file beside the database, the head file. It
// is written after the transaction and before anybody sees the checkpoint;
// hence it may be one step behind the database and never ahead of it.

// headPath is the head file: the checkpoint, byte for byte.
func (s *Store) headPath() string { return s.path + ".head" }

func (s *Store) noteOwnHead(c *registry.Checkpoint) error {
	if err := durable.WriteFile(s.headPath(), c.Raw, 0o600); err != nil {
		return s.failure(err)
	}
	return nil
}

// checkOwnHead compares the head file with the database. Its absence proves
// nothing: a backup may have only the database.
func (s *Store) checkOwnHead(ctx context.Context, heads []federation.Head) error {
	raw, err := durable.ReadSecret(s.headPath(), registry.MaxCheckpointBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	origin, size, root, err := parseHead(raw)
	if err != nil {
		return fmt.Errorf("%w: %s is no checkpoint; if the database is known to be whole, delete this file, else restore a backup", ErrDamaged, s.headPath())
	}
	for _, h := range heads {
		if strings.HasPrefix(string(h.Checkpoint), origin+"\n") {
			return s.compareHeads(ctx, h, size, root)
		}
	}
	return s.setBack("it has no log %s, of which %d entries were signed", origin, size)
}

func (s *Store) compareHeads(ctx context.Context, h federation.Head, size int64, root registry.Hash) error {
	if h.Size < size {
		return s.setBack("its log ends at %d entries, and %d were signed", h.Size, size)
	}
	have := registry.EmptyRoot()
	if size > 0 {
		var err error
		if have, err = registry.TreeRoot(size, hashReader{ctx, s, h.Log}); err != nil {
			return s.setBack("the hashes of its first %d entries cannot be read: %w", size, err)
		}
	}
	if have != root {
		return s.setBack("its first %d entries are not those that were signed", size)
	}
	return nil
}

func (s *Store) setBack(format string, args ...any) error {
	return fmt.Errorf("%w: %s was damaged, or replaced by another copy: %w (see %s). Restore the newest backup of the whole data directory; going on from here would sign a second history",
		ErrDamaged, s.path, fmt.Errorf(format, args...), s.headPath())
}

// hashReader implements registry.HashReader.
type hashReader struct {
	ctx   context.Context
	store *Store
	log   string
}

func (r hashReader) ReadHashes(indexes []int64) ([]registry.Hash, error) {
	return r.store.Hashes(r.ctx, r.log, indexes)
}

// parseHead reads the text of a checkpoint. Its signature is the replica's to
// check: it has checked the one in the database, and this has to agree.
func parseHead(raw []byte) (origin string, size int64, root registry.Hash, err error) {
	lines := strings.SplitN(string(raw), "\n", 4)
	if len(lines) < 4 {
		return "", 0, root, errors.New("cut off")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || size < 0 {
		return "", 0, root, errors.New("no size")
	}
	sum, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(sum) != len(root) {
		return "", 0, root, errors.New("no root")
	}
	return lines[0], size, registry.Hash(sum), nil
}
