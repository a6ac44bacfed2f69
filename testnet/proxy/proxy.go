// SPDX-License-Identifier: Apache-2.0

// Package proxy stands between two parties and does to their connections what
// networks do: it forwards, refuses, falls silent, cuts, or loses the answer
// to a request that arrived.
//
// It knows bytes and connections only, no HTTP. A party is put behind it by
// giving out the proxy's address in place of the party's own:
//
//	broker: --issuer http://<proxy address> --listen <own address>
package proxy

import (
	"io"
	"net"
	"sync"
)

// Mode is what happens to connections.
type Mode int

// Modes. A change acts on connections that are open, too.
const (
	Pass       Mode = iota // forward both ways
	Cut                    // every connection is reset, new ones too
	Silent                 // bytes are read and thrown away, both ways
	LoseAnswer             // requests arrive, answers do not
)

// Proxy listens on a loopback address and forwards to a target.
type Proxy struct {
	listener net.Listener

	mu      sync.Mutex
	target  string
	mode    Mode
	open    map[net.Conn]bool
	answers func() // called when the target sends bytes while answers are lost
	wait    sync.WaitGroup
}

// New starts a proxy in front of target, host:port.
func New(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, open: map[net.Conn]bool{}}
	p.wait.Go(p.accept)
	return p, nil
}

// Address is host:port of the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set changes what happens from now on.
func (p *Proxy) Set(m Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m == Cut {
		p.cut()
	}
}

// To changes where new connections go: the party behind the proxy has moved.
func (p *Proxy) To(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.cut()
}

// LoseAnswers sets LoseAnswer and calls lost, once, when the first byte of an
// answer has arrived and is not forwarded.
func (p *Proxy) LoseAnswers(lost func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.answers = LoseAnswer, lost
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.mode = Cut
	p.cut()
	p.mu.Unlock()
	p.wait.Wait()
}

// cut resets all connections; p.mu is held.
func (p *Proxy) cut() {
	for c := range p.open {
		reset(c)
	}
	clear(p.open)
}

// reset closes c so that the other side sees an error and no end of file.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func (p *Proxy) accept() {
	for {
		front, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() { p.serve(front) })
	}
}

func (p *Proxy) serve(front net.Conn) {
	if !p.keep(front) {
		return
	}
	defer p.drop(front)
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	back, err := net.Dial("tcp", target)
	if err != nil {
		reset(front)
		return
	}
	if !p.keep(back) {
		return
	}
	defer p.drop(back)
	both := sync.WaitGroup{}
	both.Go(func() { p.copy(back, front, false) })
	both.Go(func() { p.copy(front, back, true) })
	both.Wait()
}

// keep remembers an open connection; in mode Cut it resets it instead.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == Cut {
		reset(c)
		return false
	}
	p.open[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	c.Close()
}

// copy forwards from one side to the other as the mode of the moment says.
func (p *Proxy) copy(to, from net.Conn, answer bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.forwards(answer) {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err == io.EOF {
			if tcp, ok := to.(*net.TCPConn); ok {
				tcp.CloseWrite()
			}
			return
		}
		if err != nil {
			break
		}
	}
	to.Close()
	from.Close()
}

// forwards reports whether bytes go on.
func (p *Proxy) forwards(answer bool) bool {
	p.mu.Lock()
	mode, lost := p.mode, p.answers
	if mode == LoseAnswer && answer {
		p.answers = nil
	} else {
		lost = nil
	}
	p.mu.Unlock()
	if lost != nil {
		lost()
	}
	return mode == Pass || mode == LoseAnswer && !answer
}
