// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

func TestFrames(t *testing.T) {
	var stream bytes.Buffer
	docs := []string{"{}", "", strings.Repeat("x", 1000)}
	for _, doc := range docs {
		if err := federation.WriteFrame(&stream, []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	whole := stream.Bytes()
	for _, doc := range docs {
		if got, err := federation.ReadFrame(&stream, 1000); err != nil || string(got) != doc {
			t.Errorf("read %.10q, %v, want %.10q", got, err, doc)
		}
	}
	if _, err := federation.ReadFrame(&stream, 1000); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := federation.ReadFrame(bytes.NewReader(whole), 1); !errors.Is(err, registry.ErrForm) {
		t.Errorf("a frame that is too long: %v", err)
	}
	for i := 1; i < len(whole); i++ {
		r := bytes.NewReader(whole[:i])
		var err error
		for err == nil {
			_, err = federation.ReadFrame(r, 1000)
		}
		if between := i == 6 || i == 10; between != (err == io.EOF) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
}

// fault 45: a length alone does not cost memory.
func TestFault45LongFrame(t *testing.T) {
	endless := strings.NewReader("\xff\xff\xff\xff{}")
	if _, err := federation.ReadFrame(endless, federation.MaxMessage); !errors.Is(err, registry.ErrForm) {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
}
