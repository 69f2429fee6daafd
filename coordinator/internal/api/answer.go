package api

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/workflow"
)

// The two forms of structured answers.
const (
	formJSON = "application/json"
	formYAML = "application/x-yaml"
	formText = "text/plain; charset=utf-8"
)

// plain is an answer that is sent as it is, as text.
type plain string

// negotiate chooses the form of a structured answer from the Accept header.
func negotiate(accept string) (string, error) {
	if strings.TrimSpace(accept) == "" {
		return formJSON, nil
	}
	for part := range strings.SplitSeq(accept, ",") {
		kind, args, err := mime.ParseMediaType(part)
		if err != nil || refused(args["q"]) {
			continue
		}
		switch kind {
		case "*/*", "application/*", formJSON:
			return formJSON, nil
		case formYAML, "application/yaml", "text/yaml":
			return formYAML, nil
		}
	}
	return "", &httpError{http.StatusNotAcceptable, "this answers in application/json or application/x-yaml"}
}

// refused tells whether a quality value of an Accept… header means "not at all".
func refused(q string) bool {
	if q == "" {
		return false
	}
	v, err := strconv.ParseFloat(q, 64)
	return err == nil && v <= 0
}

func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, args, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			return !refused(strings.TrimPrefix(strings.TrimSpace(args), "q="))
		}
	}
	return false
}

// encode gives the body of an answer and its content type. Strings are text,
// nothing is nothing, the rest has the negotiated form.
func encode(answer any, form string) (body []byte, contentType string, err error) {
	switch a := answer.(type) {
	case nil:
		return nil, formText, nil
	case raw:
		return a, formJSON, nil
	case plain:
		return []byte(a), formText, nil
	case string:
		return []byte(a + "\n"), formText, nil
	}
	body, err = json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("encode the answer: %w", err)
	}
	if form != formYAML {
		return append(body, '\n'), formJSON, nil
	}
	// By way of JSON, so that both forms have the same names and the same
	// values; JSON is YAML, and a node keeps the order of the keys.
	var node yaml.Node
	if err := yaml.Unmarshal(body, &node); err != nil {
		return nil, "", fmt.Errorf("encode the answer: %w", err)
	}
	blockStyle(&node)
	var buf bytes.Buffer
	buf.WriteString("---\n")
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&node), enc.Close()); err != nil {
		return nil, "", fmt.Errorf("encode the answer: %w", err)
	}
	return buf.Bytes(), formYAML, nil
}

// blockStyle turns JSON's braces and needless quotes into YAML's usual look.
func blockStyle(n *yaml.Node) {
	n.Style = 0 // the encoder quotes what needs it
	for _, c := range n.Content {
		blockStyle(c)
	}
}

func send(w http.ResponseWriter, r *http.Request, status int, body []byte, contentType string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store, no-cache")
	h.Add("Vary", "Accept, Accept-Encoding")
	if len(body) > 0 && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		zw.Write(body) // into memory: cannot fail
		zw.Close()
		body = buf.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // a client that left cannot be told so
	}
}

// sendError answers with an error in the form of contract 7.3.
func (s *server) sendError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusInternalServerError, ""
	var he *httpError
	var failure *workflow.Failure
	code, coded := apperr.Of(err)
	if errors.As(err, &failure) {
		code, coded = apperr.Code(failure.Code), true
	}
	switch {
	case errors.As(err, &he):
		status, text = he.status, he.Error()
	case apperr.StatusOf(err) != 0:
		status = apperr.StatusOf(err)
		text = (&httpError{status, err.Error()}).Error()
	case coded:
		status, text = http.StatusBadRequest, code.Text()
		if detail := err.Error(); detail != text {
			text += " -- " + detail
		}
		w.Header().Set("X-Application-Error-Code", strconv.Itoa(int(code)))
		w.Header().Set("X-Application-Error-Info", base64.StdEncoding.EncodeToString([]byte(text)))
	default:
		s.Logger.Error("request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
		text = (&httpError{status, err.Error()}).Error()
	}
	if status == http.StatusUnauthorized && s.BasicRealm != "" {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", s.BasicRealm))
	}
	send(w, r, status, []byte(text+"\n"), formText)
}
