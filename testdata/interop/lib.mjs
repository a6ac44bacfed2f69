// SPDX-License-Identifier: Apache-2.0

// What the scripts have in common. A script gets one JSON document as its
// argument. When it needs the user's browser, it writes {"open": URL} as a line
// to stdout and reads, as a line from stdin, the URL that the browser came back
// to. It ends with status 0 when all that it expects is so.

import { createInterface } from 'node:readline'

export const input = JSON.parse(process.argv[2])

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export async function browse(url) {
  process.stdout.write(JSON.stringify({ open: String(url) }) + '\n')
  const { value } = await lines.next()
  return new URL(value)
}

// done lets go of stdin, so that the script can end.
export const done = () => process.stdin.destroy()
