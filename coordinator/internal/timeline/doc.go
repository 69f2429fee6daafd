// Package timeline explains where the time of an operation went: it arranges the
// stays of nodes in micro-steps as a Gantt chart, for a terminal or as SVG, and
// finds the chain of stays that decided when the operation ended. It only reads
// what it is given, and never asks anybody.
package timeline
