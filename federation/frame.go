// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// Bounds of frames: a JSON document after its length in four bytes, the most
// significant first.
const (
	maxHello   = 32 << 10 // before a peer has said who it is
	maxHeads   = 1 << 20  // vectors of 1,000 members
	maxRequest = 128 << 10
	maxMessage = 2 << 20 // a charter, or a piece of a log
	pieceBytes = 512 << 10
)

// message is an Inbound on the wire, in gossip and in the answers to pulls.
type message struct {
	Suffix   *Suffix `json:"suffix,omitempty"`
	Heard    string  `json:"heard,omitempty"`
	View     string  `json:"view,omitempty"`
	Charter  string  `json:"charter,omitempty"`
	Evidence string  `json:"evidence,omitempty"`
}

func encodeMessage(in Inbound) ([]byte, error) {
	return json.Marshal(message{
		Suffix: in.Suffix, Heard: in.Heard, View: in.View, Charter: string(in.Charter), Evidence: string(in.Evidence),
	})
}

// errUnknownKind is no fault: a newer version may have more kinds of messages.
var errUnknownKind = errors.New("a kind of message that this version does not know")

// decodeMessage checks the outermost form alone; Replica.Accept does the rest.
// The error is registry.ErrForm or errUnknownKind.
func decodeMessage(raw []byte) (Inbound, error) {
	var m message
	if err := strictjson.Unmarshal(raw, &m); err != nil {
		return Inbound{}, fmt.Errorf("%w: message: %w", registry.ErrForm, err)
	}
	in := Inbound{Suffix: m.Suffix, Heard: m.Heard, View: m.View}
	parts := 0
	for _, set := range []bool{m.Suffix != nil, m.Heard != "", m.View != "", m.Charter != "", m.Evidence != ""} {
		if set {
			parts++
		}
	}
	if parts == 0 {
		return Inbound{}, errUnknownKind
	}
	if parts > 1 {
		return Inbound{}, fmt.Errorf("%w: message with %d parts", registry.ErrForm, parts)
	}
	if m.Charter != "" {
		in.Charter = []byte(m.Charter)
	}
	if m.Evidence != "" {
		in.Evidence = []byte(m.Evidence)
	}
	return in, nil
}

func writeFrame(w io.Writer, doc []byte) error {
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(doc)), uint32(len(doc)))
	_, err := w.Write(append(frame, doc...))
	return err
}

// readFrame reads one frame of at most so many bytes. io.EOF means that there
// are no more.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > uint32(most) {
		return nil, fmt.Errorf("%w: frame of %d bytes, at most %d are allowed", registry.ErrForm, n, most)
	}
	doc := make([]byte, n)
	if _, err := io.ReadFull(r, doc); err != nil {
		return nil, fmt.Errorf("read frame: %w", noEOF(err))
	}
	return doc, nil
}

// noEOF tells an end inside of a frame from one between two.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
