// SPDX-License-Identifier: Apache-2.0

package federation

import "github.com/comity-network/comity/registry"

// brokerRecords returns the newest broker record of each member that has one in
// a verified log, by issuer.
func (r *Replica) brokerRecords() map[string]*registry.Record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	records := make(map[string]*registry.Record, len(r.brokers))
	for _, record := range r.brokers {
		records[record.Issuer] = record
	}
	return records
}
