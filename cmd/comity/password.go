// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPasswordInput is longer than any password may be.
const maxPasswordInput = 4 << 10

// newPassword reads a new password for name: from standard input where that was
// asked for, else twice from the terminal, which does not show it.
func (e *environment) newPassword(stdin bool, name string) (string, error) {
	if stdin {
		return e.pipedPassword()
	}
	f, ok := e.in.(*os.File)
	if !ok || !terminal(f) {
		return "", usageError{errors.New("there is no terminal to ask for the password on: pipe it in, and add --password-stdin")}
	}
	first, err := e.hidden(f, "New password for "+name+": ")
	if err != nil {
		return "", err
	}
	second, err := e.hidden(f, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords are not the same, so nothing was changed")
	}
	return first, nil
}

// pipedPassword reads one line, whose end is not part of the password.
func (e *environment) pipedPassword() (string, error) {
	data, err := io.ReadAll(io.LimitReader(e.in, maxPasswordInput+1))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if strings.ContainsAny(line, "\r\n") {
		return "", errors.New("standard input has more than one line: it must be the password and nothing else")
	}
	return line, nil
}

// hidden asks for a line on a terminal that does not echo meanwhile. The
// terminal is as it was when hidden returns, an interrupt included.
func (e *environment) hidden(f *os.File, prompt string) (string, error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, ioctlSetTermios, &silent); err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	defer fmt.Fprintln(e.err)
	defer unix.IoctlSetTermios(fd, ioctlSetTermios, before)
	fmt.Fprint(e.err, prompt)
	return readLine(e.ctx, f)
}

// readLine reads from a terminal up to the end of the line, and not a byte
// more, or until ctx ends.
func readLine(ctx context.Context, f *os.File) (string, error) {
	type answer struct {
		line string
		err  error
	}
	done := make(chan answer, 1)
	go func() { // ends with the process, when nobody types
		var line []byte
		for b := make([]byte, 1); ; {
			n, err := f.Read(b)
			switch {
			case n == 1 && b[0] == '\n':
				done <- answer{line: string(line)}
				return
			case err != nil:
				done <- answer{err: errors.New("nothing was typed, so nothing was changed")}
				return
			case len(line) < maxPasswordInput:
				line = append(line, b[0])
			}
		}
	}()
	select {
	case a := <-done:
		return a.line, a.err
	case <-ctx.Done():
		return "", errors.New("interrupted, so nothing was changed")
	}
}
