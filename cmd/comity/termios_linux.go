// SPDX-License-Identifier: Apache-2.0

package main

import "golang.org/x/sys/unix"

// The calls that read and write the settings of a terminal.
const (
	ioctlGetTermios = unix.TCGETS
	ioctlSetTermios = unix.TCSETS
)
