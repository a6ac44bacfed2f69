// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package process

import (
	"os/exec"
	"syscall"
)

// Attributes are none: elsewhere than on Linux a child can outlive a parent
// that was killed.
func Attributes() *syscall.SysProcAttr { return nil }

func kill(cmd *exec.Cmd) { cmd.Process.Kill() }
