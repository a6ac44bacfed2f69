// SPDX-License-Identifier: Apache-2.0

package node

import (
	"runtime"
	"runtime/debug"
)

// Version names what is running.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// release is the version of the source tree; the linker may set another.
var release = "0.1.0-dev"

// BuildVersion says what this binary was built from.
func BuildVersion() Version {
	v := Version{Version: release, Commit: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}
