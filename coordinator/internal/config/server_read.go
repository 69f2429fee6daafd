package config

import (
	"os"
	"strings"
	"time"

	"kadeploy/coordinator/internal/tree"
)

const (
	defaultDatabase = "/var/lib/kadeploy/kadeploy.sqlite"
	defaultSocket   = "/run/kadeploy/kadeployd.sock"
	mebibyte        = 1 << 20
)

func (l *loader) server(f *file) Server {
	n := f.Root()
	network, ports := n.Get("network"), n.Get("network").Get("ports")
	agents := n.Get("agents")
	deployment := n.Get("environments").Get("deployment")
	s := Server{
		Hostname: network.Get("server_hostname").String(hostname()),
		Ports: Ports{
			Server: port(ports.Get("kadeploy_server"), 25300),
			MiniOS: port(ports.Get("test_deploy_env"), 25300),
			SSH:    port(ports.Get("ssh"), 22),
		},
		Agents:         Agents{Address: agents.Get("address").String(""), Port: port(agents.Get("port"), 25301)},
		Database:       l.database(f),
		API:            API{Socket: l.path(n.Get("api").Get("socket"), defaultSocket)},
		Boot:           l.boot(n.Get("boot")),
		PXE:            l.pxe(n.Get("pxe")),
		DeploymentKey:  l.existing(n.Get("deployment_key")),
		SSHPrivateKey:  l.path(n.Get("ssh_private_key"), "keys/id_deploy"),
		Rights:         rights(n.Get("rights")),
		Kascade:        l.kascade(n.Get("kascade")),
		Authentication: l.authentication(n.Get("authentication")),
		Security:       l.security(n.Get("security")),
		Logs: Logs{
			LogFile:   l.path(n.Get("logs").Get("logfile"), ""),
			DebugFile: l.path(n.Get("logs").Get("debugfile"), ""),
			Database:  n.Get("logs").Get("database").Bool(true),
		},
		Verbosity: Verbosity{
			Clients: between(n.Get("verbosity").Get("clients"), 3, 0, 5),
			Logs:    between(n.Get("verbosity").Get("logs"), 3, 0, 5),
		},
		Cache: Cache{
			Directory:   l.path(n.Get("cache").Get("directory"), "/tmp"),
			Size:        mebibytes(n.Get("cache").Get("size").Must(), 0),
			Concurrency: between(n.Get("cache").Get("concurrency_level"), 10, 1, 1000),
		},
		VLAN: VLAN{
			HostnameSuffix: network.Get("vlan").Get("hostname_suffix").String(""),
			SetCommand:     l.command(network.Get("vlan").Get("set_cmd")),
		},
		Windows: Windows{
			Reboot:      between(n.Get("windows").Get("reboot").Get("size"), 50, 1, 100_000),
			RebootSleep: seconds(n.Get("windows").Get("reboot").Get("sleep_time"), 10),
			Check:       between(n.Get("windows").Get("check").Get("size"), 50, 1, 100_000),
		},
		Environments: Environments{
			MaxPreinstall:  mebibytes(n.Get("environments").Get("max_preinstall_size"), 20),
			MaxPostinstall: mebibytes(n.Get("environments").Get("max_postinstall_size"), 20),
			ExtractionDir:  deployment.Get("extraction_dir").String("/mnt/dest"),
			RambinDir:      deployment.Get("rambin_dir").String("/rambin"),
			TmpDir:         deployment.Get("tarball_dir").String("/tmp"),

			ServerDirectories: l.directories(n.Get("environments").Get("server_directories")),
			Prepare:           n.Get("environments").Get("prepare").Choice("auto", "auto", "frames", "off"),
			PreparedSize:      mebibytes(n.Get("environments").Get("prepared_size"), 0),
		},
		Hooks: Hooks{
			EndOfDeployment: l.command(n.Get("hooks").Get("end_of_deployment")),
			EndOfReboot:     l.command(n.Get("hooks").Get("end_of_reboot")),
			EndOfPower:      l.command(n.Get("hooks").Get("end_of_power")),
		},
		Metrics:   metrics(n.Get("metrics")),
		Autoclean: time.Duration(between(n.Get("autoclean_threshold"), 360, 1, 525_600)) * time.Minute,
		Mkfs:      mkfs(n.Get("external").Get("mkfs")),
	}
	if s.Security.LocalOnly {
		s.Authentication.localOnly()
	}
	if s.Environments.PreparedSize == 0 {
		s.Environments.PreparedSize = s.Cache.Size
	}
	if s.Boot == nil && s.PXE == nil {
		f.warn(n.Get("boot"), "Neither 'boot' nor 'pxe' is given: nothing tells nodes what to boot")
	}
	f.without(network, "buffers adapt themselves", "tcp_buffer_size")
	f.tarOptions(n.Get("external").Get("tar"))
	f.without(n.Get("external"), "images are sent by the built-in kascade, commands by the nodes' agents", "default_connector", "taktuk", "bittorrent", "kastafior", "kascade")
	return s
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

func (l *loader) database(f *file) Database {
	n := f.Root().Get("database")
	d := Database{Kind: "sqlite", File: l.path(n.Get("file"), defaultDatabase)}
	// The original knows only mysql, and older files do not name it.
	mysql := n.Get("host").Exists() || n.Get("name").Exists()
	if kind := n.Get("kind").Choice("", "sqlite", "mysql"); kind == "mysql" || kind == "" && mysql {
		f.warn(n, "MySQL is not used: data are kept in the SQLite file %s; choose another with database/file", d.File)
		for _, key := range []string{"host", "name", "login", "passwd"} {
			n.Get(key)
		}
	}
	return d
}

func rights(n *tree.Node) Rights {
	return Rights{
		Kind:       n.Get("kind").Choice("db", "db", "dummy"),
		Almighty:   commas(n.Get("almighty_users").String("root")),
		PurgeTimer: seconds(n.Get("purge_deployment_timer"), 900),
	}
}

func (l *loader) security(n *tree.Node) Security {
	s := Security{
		TLS:               n.Get("secure_server").Bool(true),
		LocalOnly:         n.Get("local_only").Bool(false),
		Certificate:       l.existing(n.Get("certificate")),
		ForceSecureClient: n.Get("force_secure_client").Bool(false),
	}
	key := n.Get("private_key")
	s.PrivateKey = l.existing(key.Get("file"))
	key.Get("algorithm").Choice("RSA", "RSA", "DSA", "EC") // the file tells it
	if (s.Certificate == "") != (s.PrivateKey == "") {
		n.Fail("'certificate' and 'private_key/file' go together: give both, or none for a self-signed certificate")
	}
	return s
}

func metrics(n *tree.Node) Metrics {
	m := Metrics{Enabled: n.Get("enabled").Bool(true), Whitelist: []string{"127.0.0.0/8", "::1"}}
	if list := n.Get("whitelist"); list.Exists() {
		m.Whitelist = whitelist(list)
	}
	return m
}

func mkfs(n *tree.Node) map[string]string {
	args := make(map[string]string)
	for _, item := range n.Items() {
		args[item.Get("fstype").Must().String("")] = item.Get("args").Must().String("")
	}
	return args
}

func commas(list string) []string {
	var all []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

func between(n *tree.Node, otherwise, low, high int) int {
	i := n.Int(otherwise)
	if i < low || i > high {
		n.Fail("Invalid value '%d', it must be from %d to %d", i, low, high)
	}
	return i
}

func port(n *tree.Node, otherwise int) int { return between(n, otherwise, 1, 65535) }

func seconds(n *tree.Node, otherwise int) time.Duration {
	return time.Duration(between(n, otherwise, 0, 1<<31-1)) * time.Second
}

func mebibytes(n *tree.Node, otherwise int) int64 {
	return int64(between(n, otherwise, 0, 1<<31-1)) * mebibyte
}
