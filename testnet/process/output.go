// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// lockedWriter appends to the output of a node, and to copy where there is one.
type lockedWriter struct {
	n    *Node
	copy io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	w.n.output.Write(p)
	if w.copy != nil {
		w.copy.Write(p)
	}
	return len(p), nil
}

// tail keeps what one run writes to stderr.
type tail struct {
	to io.Writer

	mu  sync.Mutex
	all strings.Builder
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.all.Write(p)
	t.mu.Unlock()
	return t.to.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

// lineWaiter passes everything on and sends the first line with the prefix to
// found.
type lineWaiter struct {
	prefix string
	found  chan string // of capacity 1
	to     io.Writer

	rest []byte
	done bool
}

func (w *lineWaiter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p) // before anybody is told of it
	for data := p; !w.done && len(data) > 0; {
		line, rest, complete := bytes.Cut(data, []byte("\n"))
		w.rest = append(w.rest, line...)
		if !complete {
			break
		}
		if strings.HasPrefix(string(w.rest), w.prefix) {
			w.done = true
			w.found <- string(w.rest)
		}
		w.rest, data = nil, rest
	}
	return n, err
}
