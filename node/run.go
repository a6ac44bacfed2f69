// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/publish"
)

// Run serves until ctx ends, and then stops in order: no new request, running
// ones finish, deliveries end, within 10 s in all. ready is called once, when
// the node answers. It fails when a part of the node does.
func (n *Node) Run(ctx context.Context, ready func(Ready)) error {
	public, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; is another program there? --listen names another address", n.cfg.Listen, err)
	}
	if n.tls != nil {
		public = tls.NewListener(public, n.tls.config())
	}
	control, err := admin.Listen(filepath.Join(n.cfg.DataDir, admin.SocketName))
	if err != nil {
		public.Close()
		return err
	}
	handler, err := n.handler()
	if err != nil {
		public.Close()
		control.Close()
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, newServer(handler, n.log), public) })
	group.Go(func() error { return serve(ctx, &http.Server{Handler: admin.Handler(n)}, control) })
	group.Go(func() error { return n.replica.Run(ctx) })
	group.Go(func() error { return n.network.Run(ctx) })
	group.Go(func() error { return n.desk.Run(ctx) })
	group.Go(func() error { return n.followCharters(ctx) })
	group.Go(func() error { return n.watchFreshness(ctx) })
	if n.applicant != nil {
		group.Go(func() error { return n.join(ctx) })
	}
	group.Go(func() error { return n.outbox.Run(ctx) })
	group.Go(func() error { return n.oauth.Run(ctx) })
	group.Go(func() error { return n.people.Run(ctx) })
	group.Go(func() error { return n.watchDisk(ctx) })
	group.Go(func() error {
		if err := n.checkIssuer(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		n.sayReady(ctx, ready)
		return nil
	})
	err = group.Wait()
	n.log.Info("stopped", "issuer", n.cfg.Issuer)
	return err
}

// sayReady says that the node serves. A node that asks for membership says
// which federation it asks, as soon as it has heard that.
func (n *Node) sayReady(ctx context.Context, ready func(Ready)) {
	r := Ready{Issuer: n.cfg.Issuer, PeerID: n.keys.peerID}
	if n.applicant != nil {
		select {
		case <-ctx.Done():
			return
		case <-n.applicant.Contacted():
		}
		s, waiting := n.applicant.Standing()
		if r.Federation, r.Joining = s.Federation, waiting; !waiting {
			r.Federation = n.federation()
		}
	} else {
		r.Federation = n.federation()
	}
	ready(r)
}

// watchDisk ends the node when the disk fails: what was acknowledged must stay
// true, and nobody knows what a failed sync has left behind (fault 65).
func (n *Node) watchDisk(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.store.Failed():
		return fmt.Errorf("the disk of %s failed during a write, and what is on it is unknown: check the disk and the file system, then `comity fsck`, before the next start", n.cfg.storePath())
	}
}

// handler is everything that the public can reach, below the issuer's path.
func (n *Node) handler() (http.Handler, error) {
	issuer, err := url.Parse(n.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimSuffix(issuer.Path, "/")
	shown := publish.Handler(publish.Config{
		Replica: n.replica, Issuer: n.cfg.Issuer, Key: n.keys.record.ID(),
		Fresh: n.fresh, Asking: n.asksFirst, Now: n.cfg.Now, Log: n.log,
	})
	requests := http.StripPrefix(prefix, n.desk.Handler())
	mux := http.NewServeMux()
	mux.Handle("/", n.oauth.Handler())
	for _, page := range []string{"/login", "/login/decision", "/logout", "/account", "/device"} {
		mux.Handle(prefix+page, n.login.Handler())
	}
	mux.Handle(prefix+"/oauth/register", n.registration.Handler())
	mux.Handle(prefix+"/oauth/register/", n.registration.Handler())
	mux.Handle(prefix+"/federation", http.StripPrefix(prefix, shown))
	mux.Handle(prefix+"/federation/", http.StripPrefix(prefix, shown))
	mux.Handle("POST "+prefix+"/federation/events", n.poller)
	mux.Handle(prefix+"/federation/requests", requests)
	mux.Handle(prefix+"/federation/requests/", requests)
	mux.HandleFunc("GET "+prefix+"/healthz", n.healthz)
	mux.HandleFunc("GET "+prefix+"/readyz", n.readyz)
	return clientAddress(n.cfg.TrustedProxies, unredirected(prefix+"/broker", n.brokered.Handler(), mux)), nil
}

// unredirected hands everything at or below a path to a handler of its own,
// before the mux sees it: that redirects paths which are not clean, and a site
// would follow and carry its secret along.
func unredirected(below string, own, mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := path.Clean("/" + r.URL.Path)
		if clean == below || strings.HasPrefix(clean, below+"/") {
			own.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// healthz answers as long as the process does.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz says whether this node can mint tokens right now.
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := n.fresh(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
