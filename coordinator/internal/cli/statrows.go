package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/stats"
)

// showRows prints the server's lines as they come, or one JSON object for each.
func (st *stat) showRows(ctx context.Context, s *session, path string, query url.Values) error {
	if !st.json {
		return s.Stream(ctx, path, query, s.app.Stdout)
	}
	fields := query["fields"]
	if len(fields) == 0 {
		fields = stats.Fields
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(s.Stream(ctx, path, query, w)) }()
	err := encodeRows(s.app.Stdout, r, fields)
	return errors.Join(err, r.Close())
}

// encodeRows turns lines of CSV into JSON objects.
func encodeRows(w io.Writer, r io.Reader, fields []string) error {
	enc := json.NewEncoder(w)
	lines := csv.NewReader(r)
	lines.FieldsPerRecord = len(fields)
	lines.ReuseRecord = true
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		object := make(map[string]any, len(fields))
		for i, f := range fields {
			switch {
			case stats.NumericField(f):
				object[f] = json.Number(line[i])
			case f == "success" || f == "anonymous_env":
				object[f] = line[i] == "true"
			default:
				object[f] = line[i]
			}
		}
		if err := enc.Encode(object); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
	}
}

// showRates prints how often operations on each node failed.
func (st *stat) showRates(ctx context.Context, s *session, path string, query url.Values) error {
	var rates map[string]stats.Rate
	if err := s.Get(ctx, path, query, &rates); err != nil {
		return err
	}
	nodes := sortedKeys(rates)
	nodeset.Sort(nodes)
	enc := json.NewEncoder(s.app.Stdout)
	for _, node := range nodes {
		var err error
		if st.json {
			err = enc.Encode(struct {
				Node string     `json:"node"`
				Rate stats.Rate `json:"rate"`
			}{node, rates[node]})
		} else {
			_, err = fmt.Fprintf(s.app.Stdout, "%s: %s\n", node, rates[node])
		}
		if err != nil {
			return err
		}
	}
	return nil
}
