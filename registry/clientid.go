// SPDX-License-Identifier: Apache-2.0

package registry

import "strings"

// MaxClientURLBytes bounds the URL of a client that describes itself: a stop of
// it must fit into a revocation.
const MaxClientURLBytes = 256

// CheckClientID reports whether id can name a client: the CID of its first
// registration, or the https URL of a document in which it describes itself
// (client id metadata documents), which is in no log and has no home broker.
func CheckClientID(id string) error {
	if IsClientURL(id) {
		return nil
	}
	return ParseCID(id)
}

// IsClientURL reports whether id is a client's own URL: https with a path, in
// the one spelling, without query, fragment and user info; http on a literal
// loopback address, for development.
func IsClientURL(id string) bool {
	if !strings.Contains(id, "://") {
		return false
	}
	u, err := parseURI(id)
	return err == nil && len(id) <= MaxClientURLBytes && !u.opaque && u.query == "" && len(u.path) > 1 &&
		(u.scheme == "https" || u.scheme == "http" && u.loopback())
}
