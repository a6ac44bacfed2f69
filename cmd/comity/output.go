// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// print shows a result: as JSON where that was asked for, else as text draws it.
func (e *environment) print(v any, text func(w io.Writer)) error {
	if e.json {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// row writes one "name  value" line, unless the value is empty.
func row(w io.Writer, name string, value any) {
	if s := fmt.Sprint(value); s != "" {
		fmt.Fprintf(w, "%s\t%s\n", name, s)
	}
}

// when writes seconds since 1970 for a person; 0 is empty.
func when(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// terminal reports whether w is a terminal, where progress may be drawn.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
