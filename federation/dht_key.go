// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// maxDHTKey bounds a key of the DHT: the longest is that of a charter version.
const maxDHTKey = 96

// The namespaces of the DHT.
const (
	spaceClient  = "client"
	spaceLog     = "log"
	spaceCharter = "charter"
)

// dhtKey names a value in the DHT of one federation:
//
//	/client/<client_id>
//	/log/<thumbprint of the broker's first record key>
//	/charter/<federation id>            the newest version
//	/charter/<federation id>/<version>  each version, so that the chain can be followed
type dhtKey struct {
	space   string
	name    string
	version int64 // of a charter; 0: the newest
}

// parseDHTKey reads a key in the one accepted spelling. The error is
// registry.ErrForm.
func parseDHTKey(key, federation string) (dhtKey, error) {
	bad := func() (dhtKey, error) {
		return dhtKey{}, fmt.Errorf("%w: %.100q is no key of the DHT of federation %s", registry.ErrForm, key, federation)
	}
	parts := strings.Split(key, "/")
	if len(key) > maxDHTKey || len(parts) < 3 || parts[0] != "" {
		return bad()
	}
	k := dhtKey{space: parts[1], name: parts[2]}
	switch {
	case k.space == spaceClient && registry.ParseCID(k.name) == nil:
	case k.space == spaceLog && isThumbprint(k.name):
	case k.space == spaceCharter && k.name == federation:
		if len(parts) == 4 {
			k.version, _ = strconv.ParseInt(parts[3], 10, 64)
		}
	default:
		return bad()
	}
	if k.version < 0 || k.String() != key {
		return bad()
	}
	return k, nil
}

func (k dhtKey) String() string {
	s := "/" + k.space + "/" + k.name
	if k.version > 0 {
		s += "/" + strconv.FormatInt(k.version, 10)
	}
	return s
}

func isThumbprint(s string) bool {
	b, ok := jws.Decode(s)
	return ok && len(b) == sha256.Size
}
