// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/comity-network/comity/internal/jws"
)

// nonceLife is how long one DPoP nonce is handed out; it is accepted for one
// more such time. A proof made in advance is useless after that.
const nonceLife = 2 * time.Minute

// nonces makes the nonces that DPoP proofs must hold (RFC 9449, section 8).
// They are a MAC of the time, so that none needs to be stored. The key lives
// as long as the process: after a restart clients are told a new nonce.
type nonces struct {
	key [32]byte
	now func() time.Time
}

func newNonces(now func() time.Time) *nonces {
	n := &nonces{now: now}
	rand.Read(n.key[:]) // never fails
	return n
}

// current is the nonce to hand out.
func (n *nonces) current() string { return n.at(n.period()) }

// accepts reports whether nonce is the current or the previous one.
func (n *nonces) accepts(nonce string) bool {
	p := n.period()
	now := hmac.Equal([]byte(nonce), []byte(n.at(p)))
	before := hmac.Equal([]byte(nonce), []byte(n.at(p-1)))
	return now || before
}

func (n *nonces) period() int64 { return n.now().Unix() / int64(nonceLife/time.Second) }

func (n *nonces) at(period int64) string {
	mac := hmac.New(sha256.New, n.key[:])
	binary.Write(mac, binary.BigEndian, period)
	return jws.Base64.EncodeToString(mac.Sum(nil)[:16])
}
