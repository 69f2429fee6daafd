package api

import _ "embed"

// openAPIDocument is the interface in the words of OpenAPI 3.1. A test compares it with
// the table of routes, and with the answers that the other tests get.
//
//go:embed openapi.json
var openAPIDocument []byte

// raw is an answer that is sent as it is, in JSON.
type raw []byte

// openAPI is GET /openapi.json.
func (s *server) openAPI(*call) (any, error) { return raw(openAPIDocument), nil }
