// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"slices"
	"strconv"
	"strings"
)

// read takes one line into the list: one spelling each, one line a subject.
func (l *StopList) read(line string) error {
	fields := strings.Split(line, " ")
	switch kind := fields[0]; {
	case kind == "broker" && len(fields) == 3:
		return l.readBroker(fields[1], BrokerStatus(fields[2]))
	case kind == "client" && len(fields) == 6:
		return l.readClient(fields[1:])
	case kind == "credentials" && len(fields) == 3:
		return readNumber(l.credentials, "credentials", fields[1], fields[2], MaxSeq)
	case kind == "cutoff" && len(fields) == 3:
		return readNumber(l.cutoffs, "cutoff", fields[1], fields[2], MaxTime)
	}
	return wrong(classValue, "line", "%.200q is no line of a stop list", line)
}

func (l *StopList) readBroker(issuer string, status BrokerStatus) error {
	if err := CheckIssuer(issuer); err != nil {
		return wrong(classValue, "issuer", "%v", err)
	}
	if status != BrokerSuspended && status != BrokerExpelled && status != BrokerForked {
		return wrong(classValue, "state", "%.40q is no state of a stopped broker", status)
	}
	if _, ok := l.brokers[issuer]; ok {
		return wrong("duplicate", "broker", "broker %s is listed twice", issuer)
	}
	l.brokers[issuer] = status
	return nil
}

func (l *StopList) readClient(fields []string) error {
	s := Stop{Client: fields[0], Status: ClientStatus(fields[1])}
	if err := CheckClientID(s.Client); err != nil {
		return wrong(classValue, "client_id", "%v", err)
	}
	if s.Status != ClientSuspended && s.Status != ClientRevoked && s.Status != ClientDisputed {
		return wrong(classValue, "state", "%.40q is no state of a stopped client", s.Status)
	}
	var ok, ok2 bool
	s.Cutoff, ok = dashOr(fields[2])
	s.Until, ok2 = dashOr(fields[3])
	if !ok || !ok2 || s.Until != 0 && s.Status != ClientSuspended {
		return wrong(classValue, "time", "cutoff %.40q or until %.40q is no time here", fields[2], fields[3])
	}
	if fields[4] != "-" {
		if s.Reason = fields[4]; !slices.Contains(Reasons, s.Reason) {
			return wrong(classValue, "reason", "%.40q is no reason", s.Reason)
		}
	}
	if _, ok := l.clients[s.Client]; ok {
		return wrong("duplicate", "client", "client %s is listed twice", s.Client)
	}
	l.clients[s.Client] = s
	return nil
}

func readNumber(into map[string]int64, kind, id, number string, limit int64) error {
	if err := CheckClientID(id); err != nil {
		return wrong(classValue, "client_id", "%v", err)
	}
	n, ok := decimal(number, limit)
	if !ok {
		return wrong(classValue, kind, "%.40q is not a number from 1 to %d", number, limit)
	}
	if _, ok := into[id]; ok {
		return wrong("duplicate", kind, "client %s has two lines of %s", id, kind)
	}
	into[id] = n
	return nil
}

// decimal reads a number from 1 to limit in its one spelling.
func decimal(s string, limit int64) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 1 && n <= limit && strconv.FormatInt(n, 10) == s
}

func dashOr(s string) (int64, bool) {
	if s == "-" {
		return 0, true
	}
	return decimal(s, MaxTime)
}
