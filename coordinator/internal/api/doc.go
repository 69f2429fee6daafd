// Package api owns the REST interface of the coordinator (contract section 7):
// it reads parameters, asks who calls and what he may do, turns orders into
// workflow requests and answers in JSON, YAML or text. It never deploys
// anything itself and keeps no state; all that it needs is handed to New.
package api
