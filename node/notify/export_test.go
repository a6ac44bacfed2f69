// SPDX-License-Identifier: Apache-2.0

package notify

import "time"

// SetTurn makes events wait for their turn for so long.
func (s *Sender) SetTurn(d time.Duration) { s.turn = d }

// Waiting counts the events that wait for others to the same site, and the sites.
func (s *Sender) Waiting(site string) (events, sites int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lines[site]; l != nil {
		events = l.Waiting()
	}
	return events, len(s.lines)
}
