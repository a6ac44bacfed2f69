// SPDX-License-Identifier: Apache-2.0

package wordpress

import "syscall"

// attributes make a child a process group of its own, which the kernel asks to
// end when the test ends, however that happens.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
