// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/comity-network/comity/internal/guard"
)

// turncoat is a resolver by which every name is a public address once, and then
// loopback for good.
func turncoat() *net.Resolver {
	var asked atomic.Int64
	serve := func(c net.Conn) {
		defer c.Close()
		for {
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			packed := make([]byte, binary.BigEndian.Uint16(size[:]))
			var m dnsmessage.Message
			if _, err := io.ReadFull(c, packed); err != nil || m.Unpack(packed) != nil {
				return
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				a := dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}
				if asked.Add(1) == 1 {
					a.A = [4]byte{93, 184, 215, 14}
				}
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &a}}
			}
			reply, err := m.Pack()
			if err != nil {
				return
			}
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
		}
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go serve(there)
		return here, nil
	}}
}

// fault 34: a name that was public when somebody looked, and is loopback when
// it is dialled, at each step.
func TestFault34Rebinding(t *testing.T) {
	spy, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer spy.Close()
	port := spy.Addr().(*net.TCPAddr).Port
	evil := "https://turncoat.example:" + strconv.Itoa(port) + "/"
	for step, change := range map[string]func(s *stage) string{
		"server": func(*stage) string { return evil },
		"index": func(s *stage) string {
			s.header = func(*http.Request) http.Header {
				return http.Header{"Link": {"<" + evil + `>; rel="https://api.w.org/"`}}
			}
			return stageSite
		},
		"endpoint": func(s *stage) string {
			s.index = strings.Replace(s.index, "https://blog.example/connect", evil, 1)
			return stageSite
		},
	} {
		t.Run(step, func(t *testing.T) {
			names := turncoat()
			if look, err := names.LookupHost(t.Context(), "turncoat.example"); err != nil || look[0] != "93.184.215.14" {
				t.Fatalf("first look: %v, %v", look, err)
			}
			guarded := guard.New(guard.Config{Ports: []uint16{uint16(port)}, Resolver: names})
			s := newStage(t)
			out := &http.Client{Transport: either{s, guarded.Transport}, Timeout: 2 * time.Second}
			s.cfg.Discovery, s.cfg.Requests = out, out
			s.restart()
			a := s.serve(s.signed(t.Context(), client, secret, url.Values{"server_url": {change(s)}}))
			a.want(t, http.StatusBadGateway, "comity.site_unusable")
			if !strings.Contains(a.text("message"), "does not reach") {
				t.Errorf("message is %s", a.text("message"))
			}
		})
	}
	spy.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)) // whoever has connected waits in the queue
	if c, err := spy.Accept(); err == nil {
		c.Close()
		t.Error("the spy saw a connection")
	}
}
