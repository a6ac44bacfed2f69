// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/jws"
)

// StopList is everything that is not simply active, as one canonical text that
// every member derives from its own replica; views carry its hash. Each line
// ends in a newline, lines are sorted bytewise, and there are four kinds
// (docs/spec/stoplist.md):
//
//	broker <issuer> <suspended|expelled|forked>
//	client <client_id> <suspended|revoked|disputed> <cutoff or -> <until or -> <reason or ->
//	credentials <client_id> <least valid seq>
//	cutoff <client_id> <cutoff>
//
// A stopped broker is one line: its clients are stopped with it and are not
// listed for that. Those of a forked or expelled broker are not listed at all.
// Stop lists are immutable.
type StopList struct {
	text        string
	brokers     map[string]BrokerStatus
	clients     map[string]Stop
	credentials map[string]int64
	cutoffs     map[string]int64
}

// Stop is one client line of a stop list.
type Stop struct {
	Client string
	Status ClientStatus
	Cutoff int64  // 0: none
	Until  int64  // 0: open
	Reason string // empty: none given
}

// StopList derives the stop list of a state at the time now. The state must be
// the fold of everything that the holder knows.
func (s *State) StopList(now time.Time) *StopList {
	var lines []string
	for issuer, b := range s.Brokers {
		if b.Status != BrokerActive {
			lines = append(lines, brokerLine(issuer, b.Status))
		}
	}
	for _, c := range s.Clients {
		// Members hold different branches of a forked log, and must come
		// to one list all the same; the broker's line stops all of them.
		if c.HomeStatus != BrokerForked && c.HomeStatus != BrokerExpelled {
			lines = append(lines, c.stopLines(now)...)
		}
	}
	list, err := newStopList(lines)
	if err != nil {
		panic(fmt.Sprintf("registry: the fold gave a stop list that does not parse: %v", err))
	}
	return list
}

// stopLines are the lines about one client.
func (c ClientState) stopLines(now time.Time) []string {
	var lines []string
	stopped := c.Status != ClientActive && len(c.Because) > 0
	switch {
	case stopped:
		lines = append(lines, clientLine(Stop{c.ID, c.Status, c.Cutoff, c.Until, c.Reason}))
	case listed(c.Cutoff, now):
		lines = append(lines, fmt.Sprintf("cutoff %s %d", c.ID, c.Cutoff))
	}
	if c.LeastSequence > 0 && listed(c.CompromisedAt, now) {
		lines = append(lines, fmt.Sprintf("credentials %s %d", c.ID, c.LeastSequence))
	}
	return lines
}

// listed reports whether what happened at that second is still in the list.
func listed(at int64, now time.Time) bool {
	return at > 0 && now.Unix() < at+int64(ListedFor/time.Second)
}

func brokerLine(issuer string, status BrokerStatus) string {
	return fmt.Sprintf("broker %s %s", issuer, status)
}

func clientLine(s Stop) string {
	return fmt.Sprintf("client %s %s %s %s %s", s.Client, s.Status, orDash(s.Cutoff), orDash(s.Until), reasonOrDash(s.Reason))
}

func orDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func reasonOrDash(reason string) string {
	if reason == "" {
		return "-"
	}
	return reason
}

// ParseStopList reads a stop list in its canonical text and in no other. The
// error is ErrForm or ErrLimit.
func ParseStopList(data []byte) (*StopList, error) {
	if len(data) > MaxStopListBytes {
		return nil, wrong(classSize, "", "stop list of %d bytes, at most %d are allowed", len(data), MaxStopListBytes)
	}
	if len(data) == 0 {
		return newStopList(nil)
	}
	text, ok := strings.CutSuffix(string(data), "\n")
	if !ok {
		return nil, wrong(classValue, "line", "the last line of the stop list has no end")
	}
	lines := strings.Split(text, "\n")
	if !slices.IsSorted(lines) {
		return nil, wrong(classValue, "order", "the lines of the stop list are not sorted")
	}
	return newStopList(lines)
}

// newStopList sorts the lines and reads them.
func newStopList(lines []string) (*StopList, error) {
	slices.Sort(lines)
	l := &StopList{
		brokers: map[string]BrokerStatus{}, clients: map[string]Stop{},
		credentials: map[string]int64{}, cutoffs: map[string]int64{},
	}
	var text strings.Builder
	for i, line := range lines {
		if err := l.read(line); err != nil {
			return nil, fmt.Errorf("stop list, line %d: %w", i+1, err)
		}
		text.WriteString(line)
		text.WriteByte('\n')
	}
	for id := range l.cutoffs {
		if _, both := l.clients[id]; both {
			return nil, wrong("duplicate", "cutoff", "client %s is stopped and has a line for its cutoff", id)
		}
	}
	if text.Len() > MaxStopListBytes {
		return nil, wrong(classSize, "", "stop list of %d bytes, at most %d are allowed", text.Len(), MaxStopListBytes)
	}
	l.text = text.String()
	return l, nil
}

// Bytes is the canonical text.
func (l *StopList) Bytes() []byte { return []byte(l.text) }

// Hash is the SHA-256 of the canonical text in base64url, as views carry it.
func (l *StopList) Hash() string {
	sum := sha256.Sum256([]byte(l.text))
	return jws.Base64.EncodeToString(sum[:])
}

// Count is the number of lines.
func (l *StopList) Count() int64 { return int64(strings.Count(l.text, "\n")) }

// Lines are the lines without their ends.
func (l *StopList) Lines() []string {
	if l.text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(l.text, "\n"), "\n")
}

// Client returns the stop of a client, and whether there is one.
func (l *StopList) Client(id string) (Stop, bool) {
	s, ok := l.clients[id]
	return s, ok
}

// Stops returns the stops of all clients, by client_id.
func (l *StopList) Stops() []Stop {
	stops := slices.Collect(maps.Values(l.clients))
	slices.SortFunc(stops, func(a, b Stop) int { return strings.Compare(a.Client, b.Client) })
	return stops
}

// Broker returns the status of a stopped broker, and whether it is stopped.
func (l *StopList) Broker(issuer string) (BrokerStatus, bool) {
	s, ok := l.brokers[issuer]
	if !ok {
		return BrokerActive, false
	}
	return s, true
}

// Cutoff is the second up to which the client's tokens are dead for good, 0
// when the list says nothing of it.
func (l *StopList) Cutoff(id string) int64 {
	if s, ok := l.clients[id]; ok {
		return s.Cutoff
	}
	return l.cutoffs[id]
}

// Cutoffs are the cutoffs of all clients that have one, by client_id.
func (l *StopList) Cutoffs() map[string]int64 {
	cutoffs := maps.Clone(l.cutoffs)
	for id, s := range l.clients {
		if s.Cutoff != 0 {
			cutoffs[id] = s.Cutoff
		}
	}
	return cutoffs
}

// LeastSequence is the lowest seq of a registration of the client whose
// credentials are not compromised, 0 when the list says nothing of it.
func (l *StopList) LeastSequence(id string) int64 { return l.credentials[id] }

// Diff gives the lines to add to old, and those to take away, to get l. Both
// are sorted.
func (l *StopList) Diff(old *StopList) (added, removed []string) {
	a, b := l.Lines(), old.Lines()
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			added, a = append(added, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			removed, b = append(removed, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return added, removed
}

// Apply returns the list with the lines added and removed. ErrConflict: the
// difference is from another list, for it removes what is not there or adds
// what is; fetch the whole list. Compare the hash of the result in any case.
func (l *StopList) Apply(added, removed []string) (*StopList, error) {
	lines := make(map[string]bool)
	for _, line := range l.Lines() {
		lines[line] = true
	}
	for _, line := range removed {
		if !lines[line] {
			return nil, fmt.Errorf("%w: line %.200q to remove is not in the stop list", ErrConflict, line)
		}
		delete(lines, line)
	}
	for _, line := range added {
		if lines[line] {
			return nil, fmt.Errorf("%w: line %.200q to add is in the stop list", ErrConflict, line)
		}
		lines[line] = true
	}
	next := make([]string, 0, len(lines))
	for line := range lines {
		next = append(next, line)
	}
	return newStopList(next)
}
