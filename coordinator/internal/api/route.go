package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// requestLimit is how long one request may take (contract 7.1).
const requestLimit = 600 * time.Second

// call is one request on its way through a handler.
type call struct {
	*params
	ctx    context.Context
	r      *http.Request
	w      http.ResponseWriter // only for handlers that stream
	args   []string            // the path's variable parts, decoded
	caller Caller
}

// handler answers a call. See encode for what becomes of its answer.
type handler func(c *call) (any, error)

// route is a path and what its verbs do. A "*" in the path stands for one
// part; a final "**" for one or more.
type route struct {
	path  []string
	verbs map[string]handler
	open  bool // needs no authentication
	text  bool // answers in text, or streams: no structured form is negotiated
}

// match compares a request's path with the route's and gives the variable parts.
func (rt *route) match(parts []string) ([]string, bool) {
	var args []string
	for i, want := range rt.path {
		if want == "**" {
			return append(args, parts[min(i, len(parts)):]...), i < len(parts)
		}
		if i >= len(parts) {
			return nil, false
		}
		if want == "*" {
			args = append(args, parts[i])
		} else if parts[i] != want {
			return nil, false
		}
	}
	return args, len(parts) == len(rt.path)
}

// split cuts a path into its form-url-encoded parts; empty ones, as after a
// trailing slash, do not count.
func split(path string) ([]string, error) {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		decoded, err := url.QueryUnescape(part)
		if err != nil {
			return nil, err
		}
		parts = append(parts, decoded)
	}
	return parts, nil
}

func (s *server) find(r *http.Request) (*route, handler, []string, error) {
	parts, err := split(r.URL.EscapedPath())
	if err != nil {
		return nil, nil, nil, &httpError{http.StatusBadRequest, "path: " + err.Error()}
	}
	for i := range s.routes {
		rt := &s.routes[i]
		args, ok := rt.match(parts)
		if !ok {
			continue
		}
		verb := r.Method
		if verb == http.MethodHead {
			verb = http.MethodGet
		}
		h, ok := rt.verbs[verb]
		if !ok {
			return rt, nil, nil, &httpError{http.StatusMethodNotAllowed, ""}
		}
		return rt, h, args, nil
	}
	return nil, nil, nil, &httpError{http.StatusNotFound, "no resource has the path " + r.URL.Path}
}

func (rt *route) allow() string {
	var verbs []string
	for verb := range rt.verbs {
		verbs = append(verbs, verb)
		if verb == http.MethodGet {
			verbs = append(verbs, http.MethodHead)
		}
	}
	slices.Sort(verbs)
	return strings.Join(verbs, ", ")
}

// ServeHTTP answers one request; whatever happens in a handler stays there.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		s.Logger.Error("panic in a request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		send(w, r, http.StatusInternalServerError, []byte("Internal Server Error -- this is a bug; the server's log says more\n"), formText)
	}()
	select {
	case <-s.Closing:
		s.sendError(w, r, &httpError{http.StatusServiceUnavailable, "the server is stopping"})
		return
	default:
	}
	rt, h, args, err := s.find(r)
	if err != nil {
		if rt != nil {
			w.Header().Set("Allow", rt.allow())
		}
		s.sendError(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestLimit)
	defer cancel()
	answer, form, err := s.answer(ctx, w, r, rt, h, args)
	var body []byte
	var contentType string
	if err == nil {
		if answer == streamed {
			return
		}
		body, contentType, err = encode(answer, form)
	}
	if err != nil {
		s.sendError(w, r, err)
		return
	}
	send(w, r, http.StatusOK, body, contentType)
}

// streamed is the answer of a handler that has already written its own.
var streamed any = &struct{ _ byte }{}

func (s *server) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, rt *route, h handler, args []string) (answer any, form string, err error) {
	form = formText
	if !rt.text {
		if form, err = negotiate(r.Header.Get("Accept")); err != nil {
			return nil, "", err
		}
	}
	var caller Caller
	if !rt.open {
		if caller, err = s.Auth.Authenticate(r.WithContext(ctx)); err != nil {
			return nil, "", fmt.Errorf("authenticate: %w", err)
		}
	}
	p, err := readParams(r)
	if err != nil {
		return nil, "", err
	}
	answer, err = h(&call{params: p, ctx: ctx, r: r, w: w, args: args, caller: caller})
	return answer, form, err
}
