package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/stats"
)

// written is what a coordinator with a schema of that number could have written.
var written = map[int][]string{
	1: {
		`INSERT INTO environments (id, user, name, version, visibility, os, image_file, image_kind, image_compression, created)
			VALUES (7, 'root', 'a,b|c', 3, 'public', 'linux', 'server:///x', 'tar', 'gzip', 1600000000)`,
		`INSERT INTO archives VALUES (7, 'postinstall', 0, 'server:///p', 'gzip', 'run --net debian,traditional', 'sum')`,
		`INSERT INTO nodes VALUES ('n1', 'deployed', 7, 'alice', 1600000000)`,
		`INSERT INTO rights VALUES ('alice', '*', '/dev/sda3')`,
		`INSERT INTO log (wid, user, hostname, step1, retry_step1, retry_step3, start, step1_duration, env, success)
			VALUES ('D-2', 'alice', 'n2', 'SetDeploymentEnvUntrusted', 1, 2, 1600000060, 61.5, 'a:3', 1),
			('D-2', 'alice', 'n1', 'SetDeploymentEnvUntrusted', 0, 0, 1600000060, 60, 'a:3', 0),
			('P-1', 'bob', 'n1', 'Off', 0, 0, 1600000000, 1, '', 1)`,
	},
	2: {
		`INSERT INTO journal_workflows VALUES ('D-3', '{"ID":"D-3"}', 1600000000000000000, NULL)`,
		`INSERT INTO journal_records VALUES ('D-3', 0, 1, 1600000000000000000, '[{"kind":"begin"}]')`,
	},
	3: {
		`INSERT INTO boot_profiles VALUES ('n1', 'D-3', '{}', 1600000000)`,
		`INSERT INTO agent_proofs VALUES ('n1', 'aa', '', 1600000000)`,
	},
}

// at makes a database with the schema of a number, and what was written up to it.
func at(t *testing.T, number int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := connection(path, 1, "immediate", "journal_mode(WAL)", "foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{path: path, writer: db, now: time.Now}
	if _, err := db.Exec(`CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied INTEGER NOT NULL) STRICT`); err != nil {
		t.Fatal(err)
	}
	known, err := migrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range known[:number] {
		if err := s.apply(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for _, statement := range written[m.number] {
			if _, err := db.Exec(statement); err != nil {
				t.Fatalf("schema %d: %v", m.number, err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// schemaOf is what a database is made of.
func schemaOf(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.writer.Query("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// A database of each earlier version is brought up to date, with all that is in it.
func TestMigrateFromEachVersion(t *testing.T) {
	known, err := migrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	fresh := schemaOf(t, open(t))
	for number := 1; number < len(known); number++ {
		t.Run(fmt.Sprintf("%03d_%s", number, known[number-1].name), func(t *testing.T) {
			path := at(t, number)
			s := openAt(t, path)
			// The table of migrations is older than the first of them; its text may differ.
			ofMigrations := func(line string) bool { return line[:len("table migrations")] == "table migrations" }
			want, got := slices.DeleteFunc(slices.Clone(fresh), ofMigrations), slices.DeleteFunc(schemaOf(t, s), ofMigrations)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("its schema is another than that of a new one (-new +migrated):\n%s", d)
			}
			e, err := s.Registry(nil).Environments(t.Context(), Caller{Admin: true}, EnvironmentQuery{Name: "a,b|c"})
			if err != nil || len(e) != 1 || e[0].ID != 7 || len(e[0].Postinstalls) != 1 || e[0].Postinstalls[0].Script != "run --net debian,traditional" {
				t.Errorf("environments: %+v, %v", e, err)
			}
			nodes, err := s.Nodes(t.Context(), nil)
			if err != nil || nodes["n1"].Env == nil || nodes["n1"].Env.Name != "a,b|c" {
				t.Errorf("nodes: %+v, %v", nodes, err)
			}
			if n := count(t, s, "rights"); n != 1 {
				t.Errorf("%d rights", n)
			}
			if d := cmp.Diff([]string{"P-1 n1 0 1 true", "D-2 n1 0 60 false", "D-2 n2 2 62 true"},
				lines(t, s, stats.Query{Fields: []string{"wid", "hostname", "retry_step3", "step1_duration", "success"}})); d != "" {
				t.Errorf("log:\n%s", d)
			}
			if d := cmp.Diff([]string{"D-2 n2"}, lines(t, s, stats.Query{MinRetries: 1, Fields: []string{"wid", "hostname"}})); d != "" {
				t.Errorf("log by retries:\n%s", d)
			}
			if number >= 2 {
				if w, err := s.Journal().Unfinished(t.Context()); err != nil || len(w) != 1 || len(w[0].Records) != 1 {
					t.Errorf("journal: %+v, %v", w, err)
				}
			}
			if number >= 3 && (count(t, s, "boot_profiles") != 1 || count(t, s, "agent_proofs") != 1) {
				t.Error("what nodes boot is lost")
			}
		})
	}
}
