package store

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"kadeploy/coordinator/internal/stats"
)

// BenchmarkScale asks a store of 10,000 environments and of a log of 1,000,000 rows, of
// a year, what users ask. Each answer is to come within a second:
//
//	go test -run - -bench Scale -benchtime 3x ./coordinator/internal/store
func BenchmarkScale(b *testing.B) {
	s := large(b)
	r := s.Registry(nil)
	ctx := context.Background()
	user := Caller{User: "user7"}
	environments := func(q EnvironmentQuery, want int) func(b *testing.B) {
		return func(b *testing.B) {
			found, err := r.Environments(ctx, user, q)
			if err != nil || len(found) != want {
				b.Fatalf("%d environments, %v, want %d", len(found), err, want)
			}
		}
	}
	rows := func(q stats.Query, least int) func(b *testing.B) {
		return func(b *testing.B) {
			n := 0
			if err := s.LogRows(ctx, q, func([]string) error { n++; return nil }); err != nil || n < least {
				b.Fatalf("%d rows, %v, want %d at least", n, err, least)
			}
		}
	}
	rates := func(q stats.Query) func(b *testing.B) {
		return func(b *testing.B) {
			if found, err := s.FailureRates(ctx, q, 0); err != nil || len(found) == 0 {
				b.Fatal(len(found), err)
			}
		}
	}
	end := epoch.Add(365 * 24 * time.Hour)
	summary := func(p stats.Period) func(b *testing.B) {
		return func(b *testing.B) {
			p.To, p.Operation = end, "deploy"
			if found, err := s.LogSummary(ctx, p); err != nil || found.All.Nodes == 0 {
				b.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		do   func(b *testing.B)
	}{
		{"env list of all", environments(EnvironmentQuery{}, 10_000)},
		{"env list, last versions", environments(EnvironmentQuery{Last: true}, 2000)},
		{"env list of a pattern", environments(EnvironmentQuery{Name: "env-12%", Pattern: true}, 110)},
		{"env print", environments(EnvironmentQuery{Name: "env-77", Version: 3}, 1)},
		{"env print by alias, last", environments(EnvironmentQuery{Name: "alias-77", Last: true}, 2)},
		{"stat of the newest 100", rows(stats.Query{Sort: []string{"-start"}, Limit: 100}, 100)},
		{"stat of a node", rows(stats.Query{Nodes: []string{"node-7.lab"}}, 500)},
		{"stat of a workflow", rows(stats.Query{Workflow: "D-00000007"}, 100)},
		{"stat of a day", rows(stats.Query{From: end.Add(-24 * time.Hour)}, 1000)},
		{"stat of retries", rows(stats.Query{MinRetries: 2}, 1)},
		{"stat of an operation, 1000", rows(stats.Query{Operation: "power", Limit: 1000}, 1000)},
		{"stat by duration, 10", rows(stats.Query{Sort: []string{"-step1_duration"}, Limit: 10}, 10)},
		{"failure rates of all", rates(stats.Query{})},
		{"failure rates of deployments", rates(stats.Query{Operation: "deploy"})},
		{"failure rates of a node", rates(stats.Query{Nodes: []string{"node-7.lab"}})},
		{"failure rates of a month", rates(stats.Query{From: end.Add(-30 * 24 * time.Hour)})},
		{"summary of a month", summary(stats.Period{From: end.Add(-30 * 24 * time.Hour)})},
		{"summary of the year", summary(stats.Period{From: epoch})},
		{"stat of all (not bound to a second)", rows(stats.Query{}, 1_000_000)},
	} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				test.do(b)
			}
		})
	}
}

// large is a store as a big site has after years.
func large(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	for _, statement := range []string{
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
		INSERT INTO environments (user, name, version, alias, visibility, os, image_file, image_kind, image_compression, boot, filesystem, created)
		SELECT CASE i % 2 WHEN 0 THEN 'root' ELSE 'user7' END, 'env-' || (i / 10), i % 10, 'alias-' || (i / 10),
			CASE i % 2 WHEN 0 THEN 'public' ELSE 'private' END, 'linux', 'server:///images/' || i || '.tgz', 'tar', 'gzip', '{"kernel":"/vmlinuz"}', 'ext4', 0 FROM n`,
		`INSERT INTO archives SELECT id, 'postinstall', 0, 'server:///post.tgz', 'gzip', 'run --net debian,traditional', 'sum' FROM environments`,
		// 10,000 operations of 100 nodes each; two of three are deployments.
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
		INSERT INTO log (wid, user, hostname, step1, step2, step3, timeout_step1, timeout_step2, timeout_step3, retry_step1, start,
			step1_duration, step2_duration, step3_duration, env, env_user, success, error, cluster, operation, retries)
		SELECT printf('%s-%08d', o, w), 'user' || (w % 50), 'node-' || (i * 7 % 1000) || '.lab', 'SetDeploymentEnvUntrusted', 'BroadcastEnvKascade', 'BootNewEnvKexec',
			450, 1000, 150, r, 1700000000 + w * 3150, 100 + i % 97, 30 + i % 31, 20 + i % 13, 'env-' || (w % 1000) || ':1', 'root',
			i % 50 <> 0, CASE i % 50 WHEN 0 THEN 'BootNewEnvKexec-wait_reboot: not reachable after 150 s' ELSE '' END, 'cluster' || (i % 10), o, r
		FROM (SELECT i, i / 100 AS w, CASE i / 100 % 3 WHEN 2 THEN 'P' ELSE 'D' END AS o, CASE i % 1000 WHEN 0 THEN 2 ELSE i % 100 = 0 END AS r FROM n)`,
		`WITH RECURSIVE w(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM w WHERE i < 9999), m(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM m WHERE k < 19)
		INSERT INTO log_micro (wid, cluster, macro, instance, micro, position, env, env_user, start, good, failed, seconds)
		SELECT printf('D-%08d', i), 'cluster' || (i % 10), 'BroadcastEnv', 'BroadcastEnvKascade', 'micro' || k, k, 'env-' || (i % 1000) || ':1', 'root',
			1700000000 + i * 3150, 10, 0, '[1.234,2.345,3.456,4.567,5.678,6.789,7.891,8.912,9.123,10.234]' FROM w, m`,
	} {
		if _, err := s.writer.Exec(statement); err != nil {
			b.Fatal(err)
		}
	}
	return s
}
