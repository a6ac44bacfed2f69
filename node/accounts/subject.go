// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/comity-network/comity/internal/jws"
)

// Subject is what the apps of one sector call a person: 43 characters, the same
// at every login, and unlike those of every other sector. The sector is the
// host of the app's redirect URIs, or of its sector_identifier_uri (OpenID
// Connect Core 1.0, section 8.1).
func (a *Accounts) Subject(user, sector string) string {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(sector))
	mac.Write([]byte{0})
	mac.Write([]byte(user))
	return jws.Base64.EncodeToString(mac.Sum(nil))
}
