// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// noCoreDump keeps the memory of this process, through which others' credentials
// pass, out of files.
func noCoreDump() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
