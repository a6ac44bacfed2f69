// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/comity-network/comity/registry"
)

// keepCheckpoint checks the checkpoint of the member with key kid, and that it
// is not older than one seen before. Errors: registry.ErrStale when it is,
// registry.ErrFork when it excludes the one seen before; the pair is kept, as
// proof.
func (f *Federation) keepCheckpoint(ctx context.Context, chain *registry.Chain, kid string, note []byte) (*registry.Checkpoint, error) {
	member, key, ok := chain.MemberByKey(kid)
	if !ok {
		return nil, fmt.Errorf("checkpoint: no member has the key %q", kid)
	}
	pub, err := key.Key.PublicKey()
	if err != nil {
		return nil, err
	}
	c, err := registry.OpenCheckpoint(note, registry.Origin(member.Issuer), pub)
	if err != nil {
		return nil, err
	}
	if key.Until != nil && c.Size > *key.Until {
		return nil, fmt.Errorf("checkpoint of %s: its key was ended at %d, the log has %d entries", member.Issuer, *key.Until, c.Size)
	}
	known, err := f.Memory.Fact(ctx, kindHead, c.Origin)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, err
	}
	if err != nil || known.Position < c.Size {
		if known, err = f.Memory.Remember(ctx, Fact{kindHead, c.Origin, c.Size, string(note)}); err != nil {
			return nil, err
		}
	}
	if known.Position > c.Size {
		return nil, fmt.Errorf("%w: checkpoint of %s has %d entries, one with %d was seen before", registry.ErrStale, member.Issuer, c.Size, known.Position)
	}
	return c, f.checkHistory(ctx, c.Origin, c.Size, c.Root, string(note))
}

// checkHistory compares a root that the owner of the log origin has signed
// with the checkpoint that was seen before, if that is of the same size.
// signed is where it says so. The error is registry.ErrFork.
func (f *Federation) checkHistory(ctx context.Context, origin string, size int64, root registry.Hash, signed string) error {
	known, err := f.Memory.Fact(ctx, kindHead, origin)
	if errors.Is(err, registry.ErrNotFound) || err == nil && (known.Position != size || rootOf(known.Value) == root.String()) {
		return nil
	}
	if err != nil {
		return err
	}
	name := origin + " " + strconv.FormatInt(size, 10)
	if _, err := f.Memory.Remember(ctx, Fact{kindFork, name, size, known.Value + "\n" + signed}); err != nil {
		return err
	}
	f.Log.Error("a member's log has two histories", "origin", origin, "size", size)
	return fmt.Errorf("%w: the owner of %s has signed two roots for %d entries", registry.ErrFork, origin, size)
}

// rootOf reads the root out of a checkpoint that was verified before: its
// third line.
func rootOf(checkpoint string) string {
	lines := strings.SplitN(checkpoint, "\n", 4)
	if len(lines) != 4 {
		return ""
	}
	return lines[2]
}
