// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed testdata/*.txt
var recordings embed.FS

// Recordings returns the names of all recordings.
func Recordings() []string {
	files, err := fs.Glob(recordings, "testdata/*.txt")
	if err != nil {
		panic(err) // the pattern is fine
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt")
	}
	return files
}

// recording is one file of testdata. The package comment has the format.
type recording struct {
	exchanges []recorded
	like      *recording // has what this one has not; may be nil
}

// recorded is one exchange.
type recorded struct {
	method, path string
	asks         []message
	answer       message
}

// message is what the site sent: a request that asks to confirm, or an answer.
type message struct {
	at     time.Duration // since the request came in
	method string        // of an ask
	target string        // of an ask
	status int           // of an answer
	header http.Header
	body   string
}

func readRecording(name string) (*recording, error) {
	text, err := recordings.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		return nil, fmt.Errorf("there is no recording %q; there are %s", name, strings.Join(Recordings(), ", "))
	}
	r, err := parseRecording(string(text))
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", name, err)
	}
	return r, nil
}

func parseRecording(text string) (*recording, error) {
	r := &recording{}
	blocks := []string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t") && len(blocks) > 0:
			blocks[len(blocks)-1] += "\n" + line[1:]
		default:
			blocks = append(blocks, line)
		}
	}
	for _, block := range blocks {
		if err := r.add(block); err != nil {
			return nil, err
		}
	}
	if len(r.exchanges) == 0 || r.exchanges[len(r.exchanges)-1].answer.status == 0 {
		return nil, errors.New("the last request has no answer")
	}
	return r, nil
}

// add reads one block: its first line, and below it the lines that were
// indented.
func (r *recording) add(block string) (err error) {
	head, content, _ := strings.Cut(block, "\n")
	words := strings.Fields(head)
	var last *recorded
	if len(r.exchanges) > 0 {
		last = &r.exchanges[len(r.exchanges)-1]
	}
	done := last == nil || last.answer.status != 0
	switch {
	case words[0] == "like" && len(words) == 2 && last == nil:
		r.like, err = readRecording(words[1])
	case words[0] == "receive" && len(words) == 3 && done:
		r.exchanges = append(r.exchanges, recorded{method: words[1], path: words[2]})
	case words[0] == "ask" && len(words) == 4 && !done:
		m := message{method: words[2], target: words[3]}
		err = m.read(words[1], content)
		last.asks = append(last.asks, m)
	case words[0] == "answer" && len(words) >= 3 && !done:
		if last.answer.status, err = strconv.Atoi(words[2]); err == nil {
			err = last.answer.read(words[1], content)
		}
	default:
		err = errors.New("it is out of place or of no known form")
	}
	if err != nil {
		return fmt.Errorf("%q: %w", head, err)
	}
	return nil
}

// read reads the time of a message, its header and its body.
func (m *message) read(at, content string) (err error) {
	if m.at, err = time.ParseDuration(at); err != nil {
		return err
	}
	m.header = http.Header{}
	head, body, _ := strings.Cut(content+"\n", "\n\n")
	m.body = strings.TrimSuffix(body, "\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(head, "\n"), "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return fmt.Errorf("%q is no header", line)
		}
		m.header.Add(name, value)
	}
	return nil
}
