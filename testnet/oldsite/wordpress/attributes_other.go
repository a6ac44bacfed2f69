// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package wordpress

import "syscall"

// attributes make a child a process group of its own. Elsewhere than on Linux
// it can outlive a test that was killed, until its lifetime is over.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
