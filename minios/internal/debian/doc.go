// Package debian owns how Debian packages are found, fetched and unpacked: apt
// with a private state, so that what the machine itself has installed plays no
// part. It never installs anything on the machine and needs no privileges.
package debian
