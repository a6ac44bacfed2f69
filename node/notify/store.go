// SPDX-License-Identifier: Apache-2.0

package notify

import "context"

// Store keeps messages that wait, for each site in the order in which they
// were written. Messages enter it in the transactions of others. A method that
// returned nil has its whole effect on disk.
type Store interface {
	// QueueChanged is sent to after messages may have been added. It has room
	// for one, so that nobody waits and nothing is missed.
	QueueChanged() <-chan struct{}
	// QueuedSites returns the sites that messages wait for.
	QueuedSites(ctx context.Context) ([]string, error)
	// Queued returns the first messages of one site, at most max.
	Queued(ctx context.Context, site string, max int) ([]Message, error)
	// Dequeue removes messages; that some are not there is no error.
	Dequeue(ctx context.Context, done []Done) error
	// Postpone puts one message behind all others.
	Postpone(ctx context.Context, site, id string) error
	// QueueDepth counts the messages that wait.
	QueueDepth(ctx context.Context) (int64, error)
}

// Done names a message that need not be delivered any more.
type Done struct {
	Site string
	ID   string // jti
}
