package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/stats"
)

// stat is kastat3.
type stat struct {
	generic
	machines
	all       bool
	rates     bool
	leastRate string
	fields    []string
	operation string
	retries   int
	steps     []string
	wid       string
	from, to  string
	limit     int
	sort      []string
}

func (a *App) statCommand(name string) *cobra.Command {
	st := &stat{generic: generic{app: a}, machines: machines{app: a}}
	cmd := &cobra.Command{
		Use:   name + " -a|-b [options]",
		Short: "Show statistics of the operations that are over",
		Long: `Show the log of operations: a line in CSV for each node of each operation, or how often
operations on each node failed.

The fields are, in the order in which they are shown:
  ` + strings.Join(stats.Fields[:9], ", ") + ",\n  " + strings.Join(stats.Fields[9:16], ", ") + ",\n  " + strings.Join(stats.Fields[16:], ", ") + `;
anonymous_env and cluster are shown if -F names them. Times are in seconds.

` + exitCodes,
		Example: fmt.Sprintf("  %[1]s -a -x 2026-01-31 -F wid,hostname,success,error\n  %[1]s -b 0.1 -o deploy\n  %[1]s -a -r 1 -s 1,3 --sort -start --limit 10", name),
		Args:    manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := st.asked(cmd.Context()); asked {
				return err
			}
			st.rates = cmd.Flags().Changed("list-failure-rate")
			chosen := st.all
			for _, option := range []string{"field", "operation", "min-retries", "step", "workflow-id", "date-min", "date-max", "limit", "sort", "machine", "file"} {
				chosen = chosen || cmd.Flags().Changed(option)
			}
			if !chosen && !st.rates {
				return mistake("Say what to show: -a for all operations, -b for failure rates, or an option that chooses some")
			}
			return st.do(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&st.all, "list-all", "a", false, "all operations")
	optional(cmd, &st.leastRate, "list-failure-rate", "b", "RATE", "0", "how often operations on each node failed; with a `RATE` from 0 to 1 only nodes where that was as often")
	fs.StringArrayVarP(&st.fields, "field", "F", nil, "show these `FIELDS`, as wid,hostname,success, in this order")
	fs.StringVarP(&st.operation, "operation", "o", "", "only the `OPERATION` deploy, reboot or power")
	fs.IntVarP(&st.retries, "min-retries", "r", 0, "only nodes that needed at least `N` retries in a step")
	fs.StringArrayVarP(&st.steps, "step", "s", nil, "let -r look at these `STEPS` only, as 1,3")
	fs.StringVarP(&st.wid, "workflow-id", "w", "", "only the operation `ID`")
	fs.StringVarP(&st.from, "date-min", "x", "", "only what started at this `TIME` or later: 2026-01-31, \"2026-01-31 15:04\", 30d (ago), ...")
	fs.StringVarP(&st.to, "date-max", "y", "", "only what started at this `TIME` or earlier")
	fs.IntVar(&st.limit, "limit", 0, "show at most `N` lines")
	fs.StringArrayVar(&st.sort, "sort", nil, "sort by these `FIELDS`, as hostname,-start; - turns the order round")
	st.machines.define(cmd)
	st.generic.define(cmd)
	return cmd
}

func (st *stat) do(ctx context.Context) error {
	path, query, err := st.question(time.Now())
	if err != nil {
		return err
	}
	nodes, err := st.machines.given()
	if err != nil {
		return err
	}
	ask := func(ctx context.Context, s *session, nodes []string) error {
		if len(nodes) > 0 {
			query["nodes"] = nodes
		}
		if st.rates {
			return st.showRates(ctx, s, path, query)
		}
		return st.showRows(ctx, s, path, query)
	}
	if len(nodes) == 0 || !st.several {
		return st.each(ctx, func(ctx context.Context, s *session) error { return ask(ctx, s, nodes) })
	}
	all, err := st.sessions(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	shares, err := share(ctx, all, nodes)
	if err != nil {
		return err
	}
	for i, s := range all {
		if len(shares[i]) == 0 {
			continue
		}
		if err := ask(ctx, s, shares[i]); err != nil {
			return err
		}
	}
	return nil
}

// question is the request that the options make, but for the nodes.
func (st *stat) question(now time.Time) (path string, query url.Values, err error) {
	path, query = "/stats", url.Values{"kind": {"all"}}
	if st.operation != "" {
		if !slices.Contains(stats.Operations, st.operation) {
			return "", nil, mistakef("-o %s: the operations are %s", st.operation, strings.Join(stats.Operations, ", "))
		}
		path += "/" + st.operation
	}
	if st.rates {
		query.Set("kind", "failure_rates")
		rate, err := strconv.ParseFloat(st.leastRate, 64)
		if err != nil || !(rate >= 0 && rate <= 1) {
			return "", nil, mistakef("-b %s: a failure rate is a number from 0 to 1", st.leastRate)
		}
		if rate > 0 {
			query.Set("min_failure_rate", st.leastRate)
		}
	}
	put := func(name string, values []string) {
		if len(values) > 0 {
			query[name] = values
		}
	}
	put("fields", stats.SplitList(st.fields))
	put("sort", stats.SplitList(st.sort))
	if st.wid != "" {
		query.Set("wid", st.wid)
	}
	if err := st.retriesOf(query); err != nil {
		return "", nil, err
	}
	if st.limit < 0 {
		return "", nil, mistake("--limit must not be negative")
	}
	if st.limit > 0 {
		query.Set("limit", strconv.Itoa(st.limit))
	}
	return path, query, putDates(query, now, [2]string{"date_min", st.from}, [2]string{"date_max", st.to})
}

func (st *stat) retriesOf(query url.Values) error {
	steps := stats.SplitList(st.steps)
	for _, s := range steps {
		if s != "1" && s != "2" && s != "3" {
			return mistakef("-s %s: the steps are 1, 2 and 3", s)
		}
	}
	switch {
	case st.retries < 0:
		return mistake("-r must not be negative")
	case st.retries == 0 && len(steps) > 0:
		return errors.New("-s says at which steps -r looks: give the number of retries with -r")
	case st.retries > 0:
		query.Set("min_retries", strconv.Itoa(st.retries))
	}
	if len(steps) > 0 {
		query["step_retries"] = steps
	}
	return nil
}

// putDates reads times as the user wrote them, where he is, and sends seconds since 1970.
func putDates(query url.Values, now time.Time, dates ...[2]string) error {
	for _, d := range dates {
		if d[1] == "" {
			continue
		}
		t, err := stats.ParseDate(d[1], now)
		if err != nil {
			return mistake(err.Error())
		}
		query.Set(d[0], strconv.FormatInt(t.Unix(), 10))
	}
	return nil
}
