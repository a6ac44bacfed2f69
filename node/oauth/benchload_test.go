// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// atOnce are the numbers of connections that everything is measured with.
var atOnce = []int{1, 16, 64}

// load sends b.N requests over as many connections as it is told, each of which
// waits for its answer before it sends the next. exchange(c, i) is request i.
//
// The loader runs on the same machine as what it measures, so it does as little
// as it can: http.Client would take as long as the server. It reports requests
// a second, the time to the answer, and the processor's time of this
// process, which is loader and broker.
func load(b *testing.B, conns int, address string, exchange func(c *conn, i int)) {
	b.Helper()
	b.ReportAllocs()
	all := make([]*conn, conns)
	for n := range all {
		all[n] = dial(b, n, address)
		defer all[n].Close()
	}
	var next atomic.Int64
	var running sync.WaitGroup
	began := processorTime()
	b.ResetTimer()
	for _, c := range all {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N) && !b.Failed(); i = next.Add(1) - 1 {
				start := time.Now()
				exchange(c, int(i))
				c.times = append(c.times, time.Since(start))
			}
		})
	}
	running.Wait()
	b.StopTimer()
	spent := processorTime() - began
	var times []time.Duration
	for _, c := range all {
		times = append(times, c.times...)
	}
	slices.Sort(times)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}

// processorTime is what this process has used, in user and system mode.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// conn is one connection to a server, with HTTP/1.1 as far as it is needed here.
type conn struct {
	net.Conn
	b       *testing.B
	n       int // its number
	host    string
	reader  *bufio.Reader
	request bytes.Buffer
	body    []byte
	times   []time.Duration
}

func dial(b *testing.B, n int, address string) *conn {
	b.Helper()
	host := strings.TrimPrefix(address, "http://")
	c, err := net.Dial("tcp", host)
	check(b, err)
	return &conn{Conn: c, b: b, n: n, host: host, reader: bufio.NewReader(c)}
}

// post sends a form and returns the body of the answer, which must have this
// status. The body is good until the next call.
func (c *conn) post(path, authorization string, form []byte, want int) []byte {
	c.request.Reset()
	fmt.Fprintf(&c.request, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n",
		path, c.host, len(form))
	if authorization != "" {
		c.request.WriteString("Authorization: " + authorization + "\r\n")
	}
	c.request.WriteString("\r\n")
	c.request.Write(form)
	if _, err := c.Write(c.request.Bytes()); err != nil {
		c.b.Error(err)
		return nil
	}
	status, err := c.read()
	if err != nil || status != want {
		c.b.Errorf("%s: status %d, %v: %s", path, status, err, c.body)
		return nil
	}
	return c.body
}

var contentLength = []byte("Content-Length: ")

func (c *conn) read() (status int, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil || len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("status line %q: %w", line, err)
	}
	status, err = strconv.Atoi(string(line[9:12]))
	length := 0
	for err == nil {
		if line, err = c.reader.ReadSlice('\n'); err != nil || len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	if err != nil {
		return status, err
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err = io.ReadFull(c.reader, c.body)
	return status, err
}

// member returns a member of a JSON object that needs no unescaping.
func member(body []byte, name string) string {
	_, rest, ok := bytes.Cut(body, []byte(`"`+name+`":"`))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

func encoded(form url.Values) []byte { return []byte(form.Encode()) }
