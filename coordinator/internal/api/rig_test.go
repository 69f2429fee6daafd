package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/rights"
	"kadeploy/coordinator/internal/store"
	"kadeploy/coordinator/internal/workflow"
)

// The interface is tested with the real database, rights and engine; nodes do
// the engine's dummy steps. Only who calls and where files are is made up.

// byHeader believes the header X-Kadeploy-User; root is almighty.
type byHeader struct{}

func (byHeader) Authenticate(r *http.Request) (Caller, error) {
	user := r.Header.Get("X-Kadeploy-User")
	if user == "" {
		return Caller{}, &apperr.Refusal{Status: http.StatusUnauthorized, Detail: "nobody"}
	}
	return Caller{User: user, UID: -1, Admin: user == "root"}, nil
}

type registry struct{ *store.Registry }

func (r registry) Environments(ctx context.Context, c Caller, q Query) ([]Environment, error) {
	found, err := r.Registry.Environments(ctx, store.Caller(c), store.EnvironmentQuery(q))
	var out []Environment
	for _, e := range found {
		out = append(out, Environment(e))
	}
	return out, err
}

func (r registry) AddEnvironment(ctx context.Context, c Caller, owner string, d env.Description) (Environment, error) {
	e, err := r.Registry.AddEnvironment(ctx, store.Caller(c), owner, d)
	return Environment(e), err
}

func (r registry) UpdateEnvironment(ctx context.Context, c Caller, id int64, change func(d *env.Description) error) (Environment, error) {
	e, err := r.Registry.UpdateEnvironment(ctx, store.Caller(c), id, change)
	return Environment(e), err
}

func (r registry) RemoveEnvironments(ctx context.Context, c Caller, ids []int64) error {
	return r.Registry.RemoveEnvironments(ctx, store.Caller(c), ids)
}

type nodes struct{ *store.Store }

func (n nodes) NodeInfos(ctx context.Context, names []string) (map[string]NodeInfo, error) {
	infos, err := n.Nodes(ctx, names)
	out := make(map[string]NodeInfo)
	for name, i := range infos {
		info := NodeInfo{State: i.State, User: i.User}
		if i.Env != nil {
			e := Environment(*i.Env)
			info.Env = &e
		}
		out[name] = info
	}
	return out, err
}

type policy struct{ *rights.Policy }

func (p policy) MayUse(ctx context.Context, user string, names []string, partition ...string) ([]string, error) {
	return p.Refused(ctx, user, names, partition...)
}

type table struct{ *store.Store }

func (t table) ListRights(ctx context.Context, user, node string) ([]Right, error) {
	found, err := t.Store.ListRights(ctx, user, node)
	var out []Right
	for _, r := range found {
		out = append(out, Right(r))
	}
	return out, err
}

func (t table) GrantRights(ctx context.Context, all []Right, overwrite bool) error {
	var in []store.Right
	for _, r := range all {
		in = append(in, store.Right(r))
	}
	return t.Store.GrantRights(ctx, in, []string{"root"}, overwrite)
}

func (t table) RevokeRights(ctx context.Context, all []Right) error {
	var in []store.Right
	for _, r := range all {
		in = append(in, store.Right(r))
	}
	return t.Store.RevokeRights(ctx, in)
}

// directory holds the files that URIs name, by their base name.
type directory string

func (d directory) Fetch(_ context.Context, f FileRequest) (workflow.File, error) {
	path := filepath.Join(string(d), filepath.Base(f.URI))
	st, err := os.Stat(path)
	if err != nil {
		return workflow.File{}, apperr.New(apperr.InvalidFile, "read %s: %w", f.URI, err)
	}
	if f.MaxSize > 0 && st.Size() > f.MaxSize {
		return workflow.File{}, apperr.New(apperr.InvalidFile, "%s is too big", f.URI)
	}
	return workflow.File{Path: path, Size: st.Size(), Hash: "0"}, nil
}

func (d directory) Checksum(_ context.Context, f FileRequest) (string, error) {
	data, err := os.ReadFile(filepath.Join(string(d), filepath.Base(f.URI)))
	if err != nil {
		return "", apperr.New(apperr.InvalidFile, "read %s: %w", f.URI, err)
	}
	return string(data), nil
}

// faults is the micro-step of the dummy instances; some nodes fail in some macro-steps.
type faults struct{ nodes map[string]string } // macro-steps by node

func (f *faults) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	wait := time.NewTimer(200 * time.Millisecond)
	defer wait.Stop()
	var stopped error
	select {
	case <-wait.C:
	case <-ctx.Done():
		stopped = ctx.Err()
	}
	for _, node := range t.Nodes {
		err := stopped
		if f.nodes[node] == t.Macro {
			err = errors.New("it is made to fail")
		}
		report(node, err)
	}
}

type rig struct {
	db      *store.Store
	faults  *faults
	t       *testing.T
	handler http.Handler
	files   string // directory of the files
	closing chan struct{}
	config  Config
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "k.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	broken := &faults{nodes: make(map[string]string)}
	eng, err := engine.New(engine.Config{Steps: map[string]engine.Step{workflow.Dummy: broken}, Journal: db.Journal(), States: db, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := eng.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	dummy := func(name string) []cluster.Instance { return []cluster.Instance{{Name: name, Raisable: true}} }
	lab := &cluster.Cluster{
		Name: "lab",
		Nodes: []cluster.Node{
			{Name: "node-1.lab"}, {Name: "node-2.lab"}, {Name: "node-10.lab"},
		},
		Partitioning: cluster.Partitioning{BlockDevice: "/dev/vda", DiskID: "disk0", Deploy: 3, Swap: 1, Prod: 2, Tmp: 5},
		MiniOS:       cluster.MiniOS{Kernel: "k", Initrd: "i", Filesystems: []string{"ext4", "xfs"}},
		Timeouts:     cluster.Timeouts{Reboot: "120", Kexec: "60"},
		Automaton: cluster.Automaton{
			SetDeploymentEnv: dummy("SetDeploymentEnvDummy"), BroadcastEnv: dummy("BroadcastEnvDummy"), BootNewEnv: dummy("BootNewEnvDummy"),
		},
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"img.tgz": "image", "post.tgz": "post", "keys": "ssh-ed25519 AAAA me\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{db: db, faults: broken, t: t, files: dir, closing: make(chan struct{})}
	r.config = Config{
		Version: "1.2.3", BootMethod: "IPXE", BasicRealm: "lab",
		Site: &cluster.Site{Clusters: []*cluster.Cluster{lab}},
		Auth: byHeader{}, Workflows: eng, Registry: registry{db.Registry([]string{"root"})},
		Nodes: nodes{db}, Rights: policy{rights.New("db", []string{"root"}, db)}, RightsTable: table{db}, Stats: db, History: db,
		Files: directory(dir), Closing: r.closing, Logger: quiet, EventInterval: 20 * time.Millisecond,
	}
	if r.handler, err = New(r.config); err != nil {
		t.Fatal(err)
	}
	return r
}

// call sends one request as a user; body is JSON, "" for none.
func (r *rig) call(user, verb, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(verb, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if user != "" {
		req.Header.Set("X-Kadeploy-User", user)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	conforms(r.t, verb, path, w)
	return w
}

// ok is call for what must succeed; it returns the body.
func (r *rig) ok(user, verb, path, body string) string {
	r.t.Helper()
	w := r.call(user, verb, path, body)
	if w.Code != http.StatusOK {
		r.t.Fatalf("%s %s %s = %d %s", verb, path, body, w.Code, w.Body)
	}
	return w.Body.String()
}

const description = `{"name":"debian","version":2,"os":"linux","image":{"file":"server:///img.tgz","kind":"tar","compression":"gzip"},
	"postinstalls":[{"archive":"server:///post.tgz","compression":"gzip","script":"run a,b|c"}],
	"boot":{"kernel":"/vmlinuz","initrd":"/initrd.img"},"filesystem":"ext4"}`
