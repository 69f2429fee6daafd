// Package image owns the tree of files that becomes an initrd: it gathers them
// from unpacked packages, adds the libraries that the programs need, and writes
// the archive. The same input gives the same bytes.
package image
