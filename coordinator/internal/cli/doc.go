// Package cli is the command line of the frontend: kadeploy and its
// subcommands, and the same under the original's names, with the original's
// options, text and exit codes (contract section 1). It talks to the
// coordinator by package client alone and never links the daemon.
package cli
