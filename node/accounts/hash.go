// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what one hash costs whoever computes it.
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes over the memory
	Threads uint8  // lanes that can be computed side by side
}

// DefaultCost is memory and passes of the second recommended option of RFC
// 9106, section 4 (the first takes 2 GiB a login), but one lane in place of
// four. Memory and passes are what a guess costs a thief of the database; lanes
// only divide the same work among processors. A login must not take all of
// them from the requests beside it, and with one lane a guess cannot be sped
// up on several either.
var DefaultCost = Cost{Memory: 64 << 10, Time: 3, Threads: 1}

// Bounds of a hash that is read: a damaged row must not take all memory.
const (
	maxMemory  = 1 << 20 // KiB
	maxTime    = 64
	maxThreads = 16
	saltBytes  = 16
	tagBytes   = 32
)

func (c Cost) check() error {
	if c.Threads < 1 || c.Threads > maxThreads || c.Time < 1 || c.Time > maxTime ||
		c.Memory < 8*uint32(c.Threads) || c.Memory > maxMemory {
		return fmt.Errorf("Argon2id with m=%d,t=%d,p=%d is out of bounds", c.Memory, c.Time, c.Threads)
	}
	return nil
}

// phc encodes salt and tag as PHC strings do.
var phc = base64.RawStdEncoding.Strict()

func (c Cost) format(salt, tag []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Time, c.Threads,
		phc.EncodeToString(salt), phc.EncodeToString(tag))
}

// hash computes a new hash of a password.
func (c Cost) hash(password string) string {
	salt := random(saltBytes)
	return c.format(salt, argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Threads, tagBytes))
}

// decoy is a hash that no password has.
func (c Cost) decoy() string { return c.format(random(saltBytes), random(tagBytes)) }

// matches reports whether hash is one of the password.
func matches(hash, password string) (bool, error) {
	c, salt, tag, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Threads, tagBytes)
	return subtle.ConstantTimeCompare(got, tag) == 1, nil
}

// errHash does not say what was read: it may be next to a secret.
var errHash = errors.New("a stored password hash is damaged; set a new password, or restore the newest backup")

// parseHash reads only what format writes.
func parseHash(hash string) (c Cost, salt, tag []byte, err error) {
	part := strings.Split(hash, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return c, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &c.Memory, &c.Time, &c.Threads); err != nil || c.check() != nil {
		return c, nil, nil, errHash
	}
	salt, saltErr := phc.DecodeString(part[4])
	tag, tagErr := phc.DecodeString(part[5])
	if saltErr != nil || tagErr != nil || len(salt) != saltBytes || len(tag) != tagBytes || c.format(salt, tag) != hash {
		return c, nil, nil, errHash
	}
	return c, salt, tag, nil
}

// costs reports whether hash was computed at cost c.
func (c Cost) costs(hash string) bool {
	of, _, _, err := parseHash(hash)
	return err == nil && of == c
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
