// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
)

// newID makes a name of a family or an event that is ordered by time: 48 bits of
// milliseconds, 80 random ones, as 32 hexadecimal digits. What is indexed under
// such names is written side by side, here and at sites: with random ones each
// row costs a page of its own at every commit. Nothing rests on their being
// secret.
func (s *Server) newID() string {
	var b [16]byte
	rand.Read(b[8:]) // never fails
	binary.BigEndian.PutUint64(b[:8], uint64(s.cfg.Now().UnixMilli())<<16)
	rand.Read(b[6:8])
	return hex.EncodeToString(b[:])
}
