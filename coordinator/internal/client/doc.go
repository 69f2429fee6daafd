// Package client speaks the coordinator's REST interface (contract section 7)
// for the command line: it finds the server, carries requests to it over a unix
// socket, TLS or plain HTTP, tells what its errors mean, and lends it the files
// of this host that a request names. It prints nothing, and shares with the
// daemon only what both sides say to each other.
package client
