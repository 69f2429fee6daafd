// Package layering holds the test that checks who may import whom
// (docs/architecture.md, "Imports"). It has no other code.
package layering
