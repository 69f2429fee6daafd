package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/stats"
)

// Stats is the log of operations that are over. Its errors are *stats.QueryError
// where a query cannot be.
type Stats interface {
	// LogRows calls each with the fields of every row, which it may not keep.
	LogRows(ctx context.Context, q stats.Query, each func(fields []string) error) error
	// FailureRates lists the nodes that failed at least as often as least, from 0 to 1.
	FailureRates(ctx context.Context, q stats.Query, least float64) ([]stats.FailureRate, error)
	LogSummary(ctx context.Context, p stats.Period) (*stats.Summary, error)
}

func (s *server) statsRoutes() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	return []route{
		{path: []string{"stats"}, verbs: get(s.getStats), text: true},
		{path: []string{"stats", "summary"}, verbs: get(s.getSummary)},
		{path: []string{"stats", "*"}, verbs: get(s.getStats), text: true},
	}
}

// getStats is GET /stats and /stats/OPERATION: rows as CSV, whatever the client
// accepts, or failure rates.
func (s *server) getStats(c *call) (any, error) {
	q := s.readQuery(c)
	kind := c.oneOf("kind", "all", "all", "failure_rates")
	least := readRate(c, "min_failure_rate")
	if err := c.err(); err != nil {
		return nil, err
	}
	if len(c.args) > 0 {
		if q.Operation = c.args[0]; stats.Letter(q.Operation) == "" {
			return nil, apperr.NotFound("there are statistics of deploy, reboot and power, not of %s", q.Operation)
		}
	}
	if kind == "all" {
		return streamed, refusal(s.sendRows(c, q))
	}
	rates, err := s.Stats.FailureRates(c.ctx, q, least)
	if err != nil {
		return nil, refusal(err)
	}
	answer := make(map[string]stats.Rate)
	for _, r := range rates {
		answer[r.Node] = r.Rate
	}
	form, err := negotiate(c.r.Header.Get("Accept"))
	if err != nil {
		return nil, err
	}
	body, contentType, err := encode(answer, form)
	if err != nil {
		return nil, err
	}
	send(c.w, c.r, http.StatusOK, body, contentType)
	return streamed, nil
}

// refusal gives the code of a wrong option to what is wrong with a query.
func refusal(err error) error {
	var wrong *stats.QueryError
	if errors.As(err, &wrong) {
		return apperr.New(apperr.InvalidOption, "%w", wrong)
	}
	return err
}

func (s *server) readQuery(c *call) stats.Query {
	q := stats.Query{
		Workflow:   c.text("wid"),
		From:       s.readDate(c, "date_min"),
		To:         s.readDate(c, "date_max"),
		MinRetries: c.integer("min_retries", 0),
		Fields:     stats.SplitList(c.list("fields")),
		Sort:       stats.SplitList(c.list("sort")),
		Limit:      c.integer("limit", 0),
	}
	for _, text := range stats.SplitList(c.list("step_retries")) {
		step, err := strconv.Atoi(text)
		if err != nil {
			c.fail("step_retries", "%q is no step; steps are 1, 2 and 3", text)
		}
		q.RetrySteps = append(q.RetrySteps, step)
	}
	for _, expr := range c.list("nodes") {
		names, err := nodeset.Expand(expr)
		if err != nil {
			c.fail("nodes", "%v", err)
			break
		}
		for _, name := range names {
			// The log may know nodes that the site no longer has.
			if host, err := s.resolver.Resolve(name); err == nil {
				name = host
			}
			if !slices.Contains(q.Nodes, name) {
				q.Nodes = append(q.Nodes, name)
			}
		}
	}
	return q
}

// readDate is a moment; zero if it is not given.
func (s *server) readDate(c *call, name string) time.Time {
	text := c.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := stats.ParseDate(text, s.Now())
	if err != nil {
		c.fail(name, "%v", err)
	}
	return t
}

func readRate(c *call, name string) float64 {
	text := c.text(name)
	if text == "" {
		return 0
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= 0 && rate <= 1) {
		c.fail(name, "%q is not a number from 0 to 1", text)
	}
	return rate
}

// summaryPeriod is what a summary covers if nobody says since when.
const summaryPeriod = 30 * 24 * time.Hour

// getSummary is GET /stats/summary.
func (s *server) getSummary(c *call) (any, error) {
	p := stats.Period{
		From:      s.readDate(c, "since"),
		To:        s.readDate(c, "until"),
		Operation: c.oneOf("operation", "deploy", stats.Operations...),
		Cluster:   c.text("cluster"),
		Env:       c.text("env"),
	}
	if p.To.IsZero() {
		p.To = s.Now()
	}
	if p.From.IsZero() {
		p.From = p.To.Add(-summaryPeriod)
	}
	if p.To.Before(p.From) {
		c.fail("until", "is before since: nothing can be between them")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	p.From, p.To = p.From.Truncate(time.Second), p.To.Truncate(time.Second)
	return s.Stats.LogSummary(c.ctx, p)
}
