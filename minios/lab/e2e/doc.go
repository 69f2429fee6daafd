// Package e2e holds the end-to-end tests: real deployments on the lab's machines,
// ordered with the commands that users type. It has no other code, and knows the
// rest of the project only by its programs.
package e2e
