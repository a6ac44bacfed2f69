// SPDX-License-Identifier: Apache-2.0

package guard_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
)

// resolverOf answers from a table. A name with several addresses gives them
// one after the other, one an answer, and then stays with the last.
func resolverOf(table map[string][]string) *net.Resolver {
	var mu sync.Mutex
	next := func(name string) net.IP {
		mu.Lock()
		defer mu.Unlock()
		ips := table[strings.ToLower(name)]
		if len(ips) == 0 {
			return nil
		}
		if len(ips) > 1 {
			table[strings.ToLower(name)] = ips[1:]
		}
		return net.ParseIP(ips[0]).To4()
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go serveDNS(there, next)
		return here, nil
	}}
}

// serveDNS speaks DNS over a stream (RFC 1035, section 4.2.2): A records only.
func serveDNS(c net.Conn, next func(string) net.IP) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a := answer(q, next)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

func answer(q []byte, next func(string) net.IP) []byte {
	name, end := "", 12
	for q[end] != 0 {
		n := int(q[end])
		name += string(q[end+1:end+1+n]) + "."
		end += 1 + n
	}
	end += 5 // the zero, type and class
	isA := q[end-4] == 0 && q[end-3] == 1
	a := append([]byte{}, q[:end]...)
	a[2], a[3] = 0x81, 0x80 // an answer, recursion was available
	copy(a[6:12], []byte{0, 0, 0, 0, 0, 0})
	var ip net.IP
	if isA {
		ip = next(name)
	}
	if ip == nil {
		return a
	}
	a[7] = 1
	a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(a, ip...)
}
