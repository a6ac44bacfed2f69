// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/strictjson"
)

// FileName is the file in the data directory of a node that asks to join. It
// is there from before the first database until the node is a member.
const FileName = "joining.json"

// Joining is what a node that asks to join must remember.
type Joining struct {
	URL        string `json:"url"`                  // issuer of the member that is asked
	Federation string `json:"federation,omitempty"` // pinned at the first contact
	Request    string `json:"request,omitempty"`    // its id there
	// Fresh says that the node never stood alone: it acts for nobody until it
	// is a member.
	Fresh bool `json:"fresh"`
	// Signed is the proposal that this node has signed: it signs one of each
	// version.
	Signed        string `json:"signed,omitempty"`
	SignedVersion int64  `json:"signed_version,omitempty"`
}

// LoadJoining reads the file in a data directory; nil: there is none.
func LoadJoining(dir string) (*Joining, error) {
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := new(Joining)
	if err := strictjson.Unmarshal(data, j); err != nil || j.URL == "" {
		return nil, fmt.Errorf("%s cannot be read (%v): restore it from a backup; or delete it, which ends the request for membership", path, err)
	}
	return j, nil
}

// Save writes the file, durably.
func (j *Joining) Save(dir string) error {
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, FileName), append(data, '\n'), 0o600)
}

// RemoveJoining deletes the file.
func RemoveJoining(dir string) error {
	if err := os.Remove(filepath.Join(dir, FileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(dir)
}
