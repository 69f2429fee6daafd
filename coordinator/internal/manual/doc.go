// Package manual writes what people read about commands out of the commands
// themselves: the list of options in the help, and manual pages. It never runs
// one.
package manual
