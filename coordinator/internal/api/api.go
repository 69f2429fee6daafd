package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// Caller is who sent a request.
type Caller struct {
	User  string
	UID   int  // of a local user, proved by the kernel; -1 for others
	Admin bool // one of the almighty users
}

// Authenticator finds out who sent a request (contract 7.2). What it refuses is
// an apperr.Refusal of 401 or 403.
type Authenticator interface {
	Authenticate(r *http.Request) (Caller, error)
}

// Workflows runs what users order. *engine.Engine is one.
type Workflows interface {
	Submitter
	Viewer
	Reader
	Observer
}

// Submitter starts and stops workflows.
type Submitter interface {
	Submit(ctx context.Context, req *workflow.Request, prepare engine.Prepare) error
	Cancel(id, reason string) error
	Forget(id string)
}

// Viewer knows the workflows and their nodes.
type Viewer interface {
	View(id string) (workflow.View, bool)
	Views(kind workflow.Kind) []workflow.View
	States(id string) (map[string]workflow.NodeState, bool)
}

// Reader hands out lines of text, each once.
type Reader interface {
	TakeLogs(id, cluster string) []workflow.Line
	TakeDebug(id, node string) []workflow.Line
}

// Observer shows what a workflow is doing.
type Observer interface {
	Status(id string) (workflow.Status, bool)
	Live(id string) (workflow.Live, bool)
	Timeline(id string) ([]workflow.Span, bool)
	Story(id string) (*workflow.Story, bool)
}

// Stories keeps what is known of operations that the engine has forgotten.
type Stories interface {
	// Story is nil if none is kept.
	Story(ctx context.Context, id string) (*workflow.Story, error)
}

// Environment is a registered environment.
type Environment struct {
	ID      int64
	Owner   string
	Created time.Time
	env.Description
}

// Query selects environments. Visibility for the caller applies always (contract 3).
type Query struct {
	Owner   string // "": the caller's own, and others' public ones
	Name    string // or alias; "%" stands for anything when Pattern is set
	Pattern bool
	Version int // 0: all
	Arch    string
	Last    bool // only the highest version of each owner, name and architecture
}

// Registry keeps environments. Its errors are apperr's.
type Registry interface {
	// Environments lists what the caller may see: public, then private, then shared
	// ones, by name, the newest version first.
	Environments(ctx context.Context, caller Caller, q Query) ([]Environment, error)
	AddEnvironment(ctx context.Context, caller Caller, owner string, d env.Description) (Environment, error)
	// UpdateEnvironment lets change edit the description of one environment, in one
	// transaction; nothing is changed if change returns an error.
	UpdateEnvironment(ctx context.Context, caller Caller, id int64, change func(d *env.Description) error) (Environment, error)
	RemoveEnvironments(ctx context.Context, caller Caller, ids []int64) error
}

// NodeInfo is the last that is known of a node (contract 7.5).
type NodeInfo struct {
	State string
	User  string
	Env   *Environment // nil: none or anonymous; owner, name and version are used
}

// Nodes knows the last state of each node.
type Nodes interface {
	// NodeInfos has no entry for a node that was never operated on.
	NodeInfos(ctx context.Context, nodes []string) (map[string]NodeInfo, error)
}

// Right is one line of the rights table; "*" stands for all nodes or partitions.
type Right struct {
	User, Node, Partition string
}

// Rights decides who may do what on which node.
type Rights interface {
	// MayUse lists the nodes on which a user lacks the right on a partition, which
	// has several names: a right on any of them will do. Without a name any right
	// on the node will do.
	MayUse(ctx context.Context, user string, nodes []string, partition ...string) (refused []string, err error)
}

// RightsTable is how an administrator changes rights (contract 7.8).
type RightsTable interface {
	ListRights(ctx context.Context, user, node string) ([]Right, error)
	GrantRights(ctx context.Context, rights []Right, overwrite bool) error
	RevokeRights(ctx context.Context, rights []Right) error
}

// FileRequest names a file that somebody needs.
type FileRequest struct {
	URI      string // contract 2.1: server://, http(s)://, local:// or a bare path on the client
	Client   string // base URL at which the client serves its own files; "" if it serves none
	Caller   Caller // a file is read only if he could read it
	Site     bool   // the site's own: a file of the server is read with the coordinator's rights
	What     string // "tarball", "key", ...: for messages
	Checksum string // as registered; "" is not checked
	MaxSize  int64  // bytes; 0: as much as the cache holds
	Keep     bool   // of a registered environment: worth keeping in the cache
	Holder   string // workflow that needs the copy: it stays at least until that ends
}

// Files brings files to the coordinator. Errors are apperr's: 3, 5, 21, 22.
type Files interface {
	// Fetch returns a local, immutable copy.
	Fetch(ctx context.Context, f FileRequest) (workflow.File, error)
	// Checksum is what identifies the content of a file now (contract 2.1), and that it can be read.
	Checksum(ctx context.Context, f FileRequest) (string, error)
}

// Preparer makes other forms of images, in the background, which nodes take faster.
type Preparer interface {
	// Deployed is told of a deployment whose image is in the cache now.
	Deployed(req *workflow.Request)
	// Registered is told of an environment and of its image, which may not be in the cache.
	Registered(d *env.Description, image FileRequest)
}

// VLANs knows the nodes' addresses in a VLAN. Errors are apperr's, of code 9.
type VLANs interface {
	Addresses(ctx context.Context, nodes []string, vlan string) (map[string]netip.Addr, error)
}

// Lender takes the open files that a local user lends over his connection, until
// that ends. It owns the connection.
type Lender interface {
	Serve(conn *net.UnixConn, uid int) error
}

// ConsoleOrder asks for the console of a node.
type ConsoleOrder struct {
	ID      string
	User    string
	Node    string
	Cluster *cluster.Cluster
	From    netip.Addr // only from there may it be used; the zero address is this host
}

// ConsoleView is what users see of a console.
type ConsoleView struct {
	ID, User, Node string
	URI            string // tcp://HOST:PORT
	Attached, Done bool
	Err            error // why it ended, if that was no ordinary end
	Elapsed        time.Duration
}

// Consoles lends the consoles of nodes.
type Consoles interface {
	Has(c *cluster.Cluster, node string) bool
	Open(o ConsoleOrder) (ConsoleView, error)
	Console(id string) (ConsoleView, bool)
	Consoles() []ConsoleView
	// End ends and forgets a console, with a last line for its user.
	End(id, message string)
}

// Limits are sizes, in bytes, from the configuration.
type Limits struct {
	Preinstall, Postinstall int64
}

// Config is what the interface works with. All but the fields marked as
// optional are mandatory.
type Config struct {
	Version       string
	HeaderPrefix  string // "X-Kadeploy-" if ""
	BasicRealm    string // optional: HTTP Basic is offered to those who are nobody
	BootMethod    string // shown by /info
	Site          *cluster.Site
	Auth          Authenticator
	Workflows     Workflows
	Registry      Registry
	Nodes         Nodes
	Rights        Rights
	RightsTable   RightsTable // optional: without it /rights does not exist
	Files         Files
	Preparer      Preparer  // optional: without it images are deployed as they are
	Consoles      Consoles  // optional: without it /console does not exist
	BootFiles     BootFiles // optional: without it no files go with boot profiles
	Lender        Lender    // optional: without it clients export their files over HTTP
	SecureClients bool      // clients must export their files over HTTPS
	VLANs         VLANs     // optional: without it there are none
	Stats         Stats     // optional: without it /stats does not exist
	History       History   // optional: without it nothing is expected of a plan
	Stories       Stories   // optional: without it timelines are gone with their operations
	Past          Past      // optional: without it no deployment is resumed
	Sizes         Sizes     // optional: without it the size of an image is not known
	Limits        Limits    // optional: 20 MiB each
	Verbosity     int       // of clients that ask for none; 3 if 0
	Now           func() time.Time
	NewID         func(prefix string) string // D-, R-, P- and a UUID
	Closing       <-chan struct{}            // optional: closed when the daemon stops
	EventInterval time.Duration              // optional: how often /events looks; 0.5 s
	Logger        *slog.Logger               // slog.Default if nil
}

type server struct {
	Config
	routes   []route
	resolver *nodeset.Resolver
	watching watchers
}

// New returns the handler of the whole interface.
func New(cfg Config) (http.Handler, error) {
	if cfg.Site == nil || cfg.Auth == nil || cfg.Workflows == nil || cfg.Registry == nil || cfg.Nodes == nil || cfg.Rights == nil || cfg.Files == nil {
		return nil, errors.New("api: a mandatory part of the configuration is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.HeaderPrefix == "" {
		cfg.HeaderPrefix = "X-Kadeploy-"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = newID
	}
	if cfg.Verbosity == 0 {
		cfg.Verbosity = 3
	}
	if cfg.EventInterval == 0 {
		cfg.EventInterval = 500 * time.Millisecond
	}
	const megabyte = 1 << 20
	if cfg.Limits.Preinstall == 0 {
		cfg.Limits.Preinstall = 20 * megabyte
	}
	if cfg.Limits.Postinstall == 0 {
		cfg.Limits.Postinstall = 20 * megabyte
	}
	var names []string
	for _, cl := range cfg.Site.Clusters {
		for _, n := range cl.Nodes {
			names = append(names, n.Name)
		}
	}
	s := &server{Config: cfg, resolver: nodeset.NewResolver(names)}
	s.routes = s.table()
	return s, nil
}
