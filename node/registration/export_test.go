// SPDX-License-Identifier: Apache-2.0

package registration

import "github.com/comity-network/comity/registry"

// Parse is parse, for the fuzzer.
func Parse(body []byte) (m registry.ClientMetadata, statement string, err error) {
	q, err := parse(body)
	if err != nil {
		return m, "", err
	}
	return q.metadata, q.statement, nil
}
