package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	golog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/auth"
	"kadeploy/coordinator/internal/boot"
	"kadeploy/coordinator/internal/boot/userfile"
	"kadeploy/coordinator/internal/borrow"
	"kadeploy/coordinator/internal/broadcast"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/console"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/fleet"
	"kadeploy/coordinator/internal/identity"
	"kadeploy/coordinator/internal/imagecache"
	"kadeploy/coordinator/internal/metrics"
	"kadeploy/coordinator/internal/power"
	"kadeploy/coordinator/internal/probe"
	"kadeploy/coordinator/internal/rights"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/coordinator/internal/store"
	"kadeploy/coordinator/internal/vlan"
	"kadeploy/coordinator/internal/workflow"
	"kadeploy/proto/agent/session"
)

// endTime is how long steps under way may take to stop.
const endTime = 20 * time.Second

// daemon is the coordinator's parts, put together.
type daemon struct {
	cfg      *config.Config
	log      *slog.Logger
	outside  outside
	cert     tls.Certificate
	store    *store.Store
	cache    *imagecache.Cache
	fleet    *fleet.Fleet
	boot     *boot.Service // nil: the site has a boot service of its own
	engine   *engine.Engine
	files    *files
	prepared *prepared       // nil: images are deployed as they are
	uploads  *userfile.Shelf // nil: no files go with boot profiles
	vlans    *vlan.Service
	loans    *borrow.Desk
	consoles *console.Service
	api      http.Handler
	auth     *auth.Authenticator
	metrics  *metrics.Metrics

	interrupted []workflow.Interrupted // what the one before left

	logs    *logDir       // nil: there are no log files
	ready   func()        // is called when users are served
	closing chan struct{} // closed when the daemon begins to stop
}

// outside is what a rehearsal replaces of the daemon's world; the zero value is the real one.
type outside struct {
	machines power.Machines                      // nil: the site's commands and controllers
	site     steps.Site                          // nil: the site's other commands are run
	journal  func(engine.Journal) engine.Journal // nil: the journal as it is
}

// run is the life of the daemon, until ctx ends. It calls ready when users are
// served. logs may be nil: then everything goes to log.
func run(ctx context.Context, cfg *config.Config, log *slog.Logger, logs *logDir, ready func()) error {
	return runIn(ctx, outside{}, cfg, log, logs, ready)
}

func runIn(ctx context.Context, world outside, cfg *config.Config, log *slog.Logger, logs *logDir, ready func()) (err error) {
	d := &daemon{cfg: cfg, outside: world, log: log, logs: logs, ready: ready, closing: make(chan struct{})}
	if d.store, err = store.Open(ctx, cfg.Server.Database.File); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.store.Close()) }()
	if err := d.build(ctx); err != nil {
		return err
	}
	defer d.cache.Close()
	defer d.prepared.close()
	return d.serve(ctx)
}

// build makes every part; nothing is served yet.
func (d *daemon) build(ctx context.Context) (err error) {
	server := &d.cfg.Server
	file := filepath.Join(filepath.Dir(server.Database.File), "identity.pem")
	if d.cert, err = identity.Load(file, server.Hostname); err != nil {
		return err
	}
	d.loans = borrow.New(d.log)
	d.consoles = console.New(console.Config{Host: server.Hostname, Connector: connector(server), Retention: server.Autoclean, Logger: d.log})
	d.cache, err = imagecache.New(imagecache.Config{
		Directory: server.Cache.Directory, Size: server.Cache.Size, Writers: server.Cache.Concurrency,
		Open: openForUser(server.Environments.ServerDirectories), Logger: d.log,
		Lent: func(loan string, by imagecache.User, name string) (*os.File, error) {
			if !by.Local {
				return nil, errors.New("only users of this host lend files")
			}
			return d.loans.File(loan, by.UID, name)
		},
	})
	if err != nil {
		return err
	}
	d.files = newFiles(d.cache)
	if d.prepared, err = newPrepared(server, d.files, d.log); err != nil {
		return err
	}
	if d.uploads, err = uploads(server); err != nil {
		return err
	}
	d.vlans = vlan.New(vlan.Config{Suffix: server.VLAN.HostnameSuffix, Command: server.VLAN.SetCommand, Connector: connector(server)})
	d.fleet, err = fleet.New(fleet.Config{
		Certificate: d.cert, Addresses: addresses(d.cfg.Site), Moved: d.vlans.Where, Admission: d.store, Logger: d.log,
	})
	if err != nil {
		return err
	}
	if err := d.buildEngine(ctx); err != nil {
		return err
	}
	if err := d.buildAPI(); err != nil {
		return err
	}
	return d.buildBoot() // last: it opens ports
}

// connector is what DEFAULT_CONNECTOR stands for in the site's commands (contract
// 5.1): ssh as root to a system that is not the mini-OS, with the site's key if there is one.
func connector(server *config.Server) string {
	line := "ssh -A -l root -q -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
	if _, err := os.Stat(server.SSHPrivateKey); err == nil {
		line += " -i " + server.SSHPrivateKey
	}
	return line
}

func addresses(site *cluster.Site) map[string]netip.Addr {
	all := make(map[string]netip.Addr)
	for _, c := range site.Clusters {
		for _, n := range c.Nodes {
			all[n.Name] = n.Address
		}
	}
	return all
}

func (d *daemon) buildEngine(ctx context.Context) (err error) {
	server := &d.cfg.Server
	profiles, err := d.profiles()
	if err != nil {
		return err
	}
	machines := d.power()
	prober := probe.New(probe.Config{SSH: server.Ports.SSH, Mark: server.Ports.MiniOS, Window: server.Windows.Check})
	d.metrics = d.newMetrics(map[string]windowed{"reboot": machines, "check": prober})
	kernels, err := d.kernels()
	if err != nil {
		return err
	}
	key, err := d.deploymentKey()
	if err != nil {
		return err
	}
	all := steps.All(steps.Config{
		Remote: d.remote(), Kernels: kernels, Site: d.site(), Connector: connector(server), DeploymentKey: key,
		Agents:        d.fleet,
		Boots:         boots{d.store},
		Profiles:      profiles,
		Power:         machines,
		Prober:        prober,
		Broadcaster:   measuredBroadcaster{broadcast.Service{Logger: d.log, Options: headOptions(&server.Kascade)}, d.metrics.Broadcast},
		Preparer:      d.prepared.forSteps(),
		VLANs:         d.vlans,
		ExtractionDir: server.Environments.ExtractionDir,
		ArchiveDir:    server.Environments.RambinDir,
		TmpDir:        server.Environments.TmpDir,
		MkfsArguments: server.Mkfs,
		Version:       version,
	})
	table := make(map[string]engine.Step, len(all))
	for name, step := range all {
		table[name] = step
	}
	journal, err := newJournal(d.store, server.Logs, d.log)
	if err != nil {
		return err
	}
	d.engine, err = engine.New(engine.Config{
		Steps: table, Journal: d.watched(measuredJournal{journal, d.metrics.Journalled}), States: d.store, Logger: d.log,
		BusyFor: server.Rights.PurgeTimer, Retention: server.Autoclean, Refused: d.refused,
		Witness: witness{d.fleet, d.consoles, d.log}, Stories: d.store,
		OnEnd: d.ended, OnLeft: d.metrics.Left,
	})
	if err != nil {
		return err
	}
	interrupted, err := journal.Unfinished(ctx)
	if err != nil {
		return err
	}
	// What they need is held before anybody else may ask the cache for room.
	for _, w := range interrupted {
		if err := d.files.hold(w.Request); err != nil {
			d.log.Warn("a file of an interrupted workflow is gone; the steps that need it will fail", "workflow", w.Request.ID, "error", err)
		}
		d.vlans.Restore(w.Request.VLAN, w.Request.VLANAddrs)
	}
	d.interrupted = interrupted
	return nil
}

func (d *daemon) power() *power.Service {
	server := &d.cfg.Server
	return power.New(power.Config{
		Connector: connector(server), Window: server.Windows.Reboot, Sleep: server.Windows.RebootSleep,
		BMC: controllers{}, Machines: d.outside.machines, Logger: d.log,
	})
}

func (d *daemon) site() steps.Site {
	if d.outside.site != nil {
		return d.outside.site
	}
	return siteCommands{connector(&d.cfg.Server)}
}

func (d *daemon) watched(j engine.Journal) engine.Journal {
	if d.outside.journal == nil {
		return j
	}
	return d.outside.journal(j)
}

// ended is called when a workflow is over.
func (d *daemon) ended(req *workflow.Request, v workflow.View) {
	d.metrics.Ended(v)
	d.files.release(req.ID)
	d.prepared.release(req.ID)
	if d.uploads != nil {
		d.uploads.Release(req.ID)
	}
	d.log.Info("workflow ended", "workflow", req.ID, "kind", req.Kind, "user", req.User,
		"ok", len(v.OK), "ko", len(v.KO), "seconds", int(v.Elapsed.Seconds()))
	if req.Hook {
		runHook(d.cfg.Server.Hooks, req, d.log)
	}
}

// refused lists those of the nodes on which a user has no right (any more).
func (d *daemon) refused(ctx context.Context, user string, nodes []string) ([]string, error) {
	r := &d.cfg.Server.Rights
	return rights.New(r.Kind, r.Almighty, d.store).Refused(ctx, user, nodes)
}

func (d *daemon) buildAPI() (err error) {
	server := &d.cfg.Server
	if d.auth, err = auth.New(settings(server.Authentication), d.log); err != nil {
		return err
	}
	policy := rights.New(server.Rights.Kind, server.Rights.Almighty, d.store)
	d.api, err = api.New(api.Config{
		Version: version, HeaderPrefix: d.auth.HeadersPrefix(), BasicRealm: d.auth.Realm(), BootMethod: bootMethod(server),
		Site:          d.cfg.Site,
		Auth:          authenticator{d.auth, policy},
		Workflows:     d.engine,
		Registry:      registry{d.store.Registry(server.Rights.Almighty)},
		Nodes:         nodeInfos{d.store},
		Rights:        permissions{policy},
		RightsTable:   rightsTable{d.store, server.Rights.Almighty},
		Files:         d.files,
		Preparer:      d.prepared.forAPI(),
		BootFiles:     bootFiles(d.uploads),
		VLANs:         d.vlans,
		Stats:         d.store,
		History:       d.store,
		Stories:       d.store,
		Past:          past{d.store, d.fleet},
		Sizes:         d.files,
		Consoles:      consoles{d.consoles},
		Lender:        d.loans,
		SecureClients: server.Security.ForceSecureClient,
		Limits:        api.Limits{Preinstall: server.Environments.MaxPreinstall, Postinstall: server.Environments.MaxPostinstall},
		Verbosity:     server.Verbosity.Clients,
		Closing:       d.closing,
		Logger:        d.log,
	})
	if err != nil || !server.Metrics.Enabled {
		return err
	}
	may, err := auth.NewWhitelist(server.Metrics.Whitelist)
	d.api = withMetrics(d.api, d.metrics.Handler(), may)
	return err
}

func (d *daemon) buildBoot() (err error) {
	b := d.cfg.Server.Boot
	if b == nil {
		return nil
	}
	var nodes []cluster.Node
	for _, c := range d.cfg.Site.Clusters {
		nodes = append(nodes, c.Nodes...)
	}
	d.boot, err = boot.New(boot.Config{
		Interface: b.Interface, Address: b.Address, Nodes: nodes,
		Router: b.DHCP.Router, DNS: b.DHCP.DNS, Lease: b.DHCP.Lease,
		Repository: b.Repository, Loaders: b.Loaders, UEFILoader: b.UEFILoader, UserFiles: b.UserFiles, Overlay: d.overlay(),
		Coordinator: agentsAddress(&d.cfg.Server), Fingerprint: session.Fingerprint(d.cert.Certificate[0]), Params: b.Params,
		HTTPPort: b.HTTPPort, TFTPPort: b.TFTPPort, NoDHCP: !b.DHCP.Enabled, NoTFTP: !b.TFTP,
		RouterAdvertisement: b.RouterAdvertisements,
		Profiles:            d.store, Tokens: d.store, Logger: d.log,
	})
	return err
}

// agentsAddress is where nodes' agents dial.
func agentsAddress(s *config.Server) string {
	host := s.Agents.Address
	if host == "" && s.Boot != nil && s.Boot.Address.IsValid() {
		host = s.Boot.Address.Addr().String()
	}
	return net.JoinHostPort(cmp.Or(host, s.Hostname), strconv.Itoa(s.Agents.Port))
}

// serve opens all ports and serves until ctx ends; then it takes no more orders,
// leaves running workflows to the next start, and the nodes.
func (d *daemon) serve(ctx context.Context) error {
	agents, err := net.Listen("tcp", ":"+strconv.Itoa(d.cfg.Server.Agents.Port))
	if err != nil {
		return errors.Join(fmt.Errorf("listen for agents: %w", err), d.closeBoot())
	}
	clients, err := d.clientListeners()
	if err != nil {
		return errors.Join(err, agents.Close(), d.closeBoot())
	}

	// Before users can ask for them: they are to find them under their IDs.
	if err := d.engine.Recover(ctx, d.interrupted); err != nil {
		d.log.Error("operations that were interrupted cannot be taken up", "error", err)
	}
	nodesCtx, stopNodes := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNodes()
	all, ctx := errgroup.WithContext(ctx) // ends too when one of them fails
	all.Go(func() error { return d.fleet.Serve(nodesCtx, agents) })
	if d.boot != nil {
		all.Go(func() error { return d.boot.Run(nodesCtx) })
	}
	for _, ln := range clients {
		server := &http.Server{
			Handler: d.api, ConnContext: auth.ConnContext, ReadHeaderTimeout: headerTime, WriteTimeout: answerTime,
			ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		}
		if d.logs != nil {
			server.Handler = accessLog(d.api, &d.logs.access, time.Now)
			server.ErrorLog = golog.New(&d.logs.httpd, "", golog.LstdFlags)
		}
		all.Go(func() error { return serveHTTP(ctx, server, ln) })
		d.log.Info("serving users", "address", ln.Addr().String())
	}
	all.Go(func() error {
		defer stopNodes()
		<-ctx.Done()
		d.log.Info("stopping: no more orders are taken, running operations go on at the next start")
		close(d.closing)
		d.loans.Close()
		d.consoles.Close()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		return d.engine.Suspend(limit, func() {
			// No node may hear that its call is given up: it is to be gone on with.
			stopNodes()
			d.fleet.Cut()
		})
	})
	d.log.Info("the coordinator is ready", "agents", agents.Addr().String(), "nodes", len(addresses(d.cfg.Site)), "version", version)
	d.ready()
	err = all.Wait()
	d.log.Info("the coordinator has stopped")
	return err
}

func (d *daemon) closeBoot() error {
	if d.boot == nil {
		return nil
	}
	return d.boot.Close()
}

// clientListeners are the Unix socket and the TCP port of the REST interface.
func (d *daemon) clientListeners() (list []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, ln := range list {
				err = errors.Join(err, ln.Close())
			}
		}
	}()
	server := &d.cfg.Server
	if server.API.Socket != "" {
		ln, err := socketListener(server.API.Socket)
		if err != nil {
			return list, err
		}
		list = append(list, ln)
	}
	host := ""
	if server.Security.LocalOnly {
		host = "localhost"
	}
	tcp, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(server.Ports.Server)))
	if err != nil {
		return list, fmt.Errorf("listen for clients: %w", err)
	}
	list = append(list, tcp)
	if !server.Security.TLS {
		return list, nil
	}
	cert := d.cert
	if server.Security.Certificate != "" {
		key := cmp.Or(server.Security.PrivateKey, server.Security.Certificate)
		if cert, err = tls.LoadX509KeyPair(server.Security.Certificate, key); err != nil {
			return list, fmt.Errorf("security.certificate: %w", err)
		}
	}
	list[len(list)-1] = tls.NewListener(tcp, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	return list, nil
}

// settings are the configuration's methods of authentication, as package auth wants them.
func settings(a config.Authentication) auth.Settings { return auth.Settings(a) }

// hookTime is the time limit of a site's hook (contract 5.1).
const hookTime = 20 * time.Second

// hookLine is the site's command for the end of a workflow; "" if there is none.
func hookLine(h config.Hooks, req *workflow.Request) string {
	line := map[workflow.Kind]string{
		workflow.Deploy: h.EndOfDeployment, workflow.Reboot: h.EndOfReboot, workflow.Power: h.EndOfPower,
	}[req.Kind]
	return strings.ReplaceAll(line, "WORKFLOW_ID", req.ID)
}
