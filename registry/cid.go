// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"crypto/sha256"

	"github.com/ipfs/go-cid"
)

// cidPrefix is version 1, codec raw, sha2-256, 32 bytes: what stands before
// the digest in the one accepted kind of CID.
var cidPrefix = []byte{1, cid.Raw, 0x12, sha256.Size}

// cidLength is the length of "b" and 36 bytes in base32.
const cidLength = 59

// CID returns the name of raw: a content identifier of version 1, codec raw,
// sha2-256 over the exact bytes, in base32 lower case. It starts with
// "bafkrei" and has 59 characters.
func CID(raw []byte) string {
	sum := sha256.Sum256(raw)
	c, err := cid.Cast(append(bytes.Clone(cidPrefix), sum[:]...))
	if err != nil {
		panic(err) // the prefix is a constant
	}
	return c.String()
}

// ParseCID checks that s is a CID exactly as CID makes them. Other versions,
// codecs, hashes (the identity hash above all), lengths, bases and upper case
// are refused, and so are stray bits in the last character.
func ParseCID(s string) error {
	if len(s) != cidLength {
		return wrong(classValue, "cid", "%.70q is not a CID of 59 characters that starts with bafkrei", s)
	}
	c, err := cid.Decode(s)
	if err != nil {
		return wrong(classValue, "cid", "%q is not a CID in base32 lower case: write it as it was given", s)
	}
	if !bytes.HasPrefix(c.Bytes(), cidPrefix) || c.ByteLen() != len(cidPrefix)+sha256.Size {
		return wrong(classValue, "cid", "%q is a CID of another kind: only version 1, raw, sha2-256 is used here", s)
	}
	if c.String() != s {
		return wrong(classValue, "cid", "%q is another spelling of the CID %s", s, c)
	}
	return nil
}

// CheckCID checks that s is the CID of raw: a record that is offered under a
// name must be the one that the name stands for (fault 46).
func CheckCID(s string, raw []byte) error {
	if err := ParseCID(s); err != nil {
		return err
	}
	if have := CID(raw); have != s {
		return wrong(classValue, "cid", "the bytes are %s and not %s: they are of another object, or damaged", have, s)
	}
	return nil
}
