// SPDX-License-Identifier: Apache-2.0

package accounts

// Places is how many places are taken, at work and in the lines.
func (a *Accounts) Places() (taken int) {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	for _, n := range a.gate.from {
		taken += n
	}
	return taken
}

// MaxPlaces is how many there are where one hash is computed at once.
const MaxPlaces = 1 + placesKnown + placesUnknown
