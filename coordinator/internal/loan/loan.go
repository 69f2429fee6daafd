// Package loan is the wire form in which a local client lends open files to the
// coordinator (docs/api.md, "Files of the client"). It holds the words of both
// sides and parses them; it moves no descriptors.
package loan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Protocol is what the client asks to upgrade its connection to.
const Protocol = "kadeploy-files"

// Path is the resource that it asks for.
const Path = "/files"

// scheme begins the parameter "client" of a request whose files are lent.
const scheme = "lent:"

// Limits of one loan.
const (
	MaxLine  = 8192 // bytes of a line, with its end
	MaxPath  = 4096 // bytes of a name (PATH_MAX)
	MaxFiles = 64
)

// Opened is the first line, from the coordinator.
type Opened struct {
	Client string `json:"client"` // what the client gives as its parameter "client"
}

// Offer is a line of the client; one descriptor comes with it.
type Offer struct {
	Path string `json:"path"` // as descriptions and parameters name the file; nothing is opened by it
}

// Answer is the coordinator's line for each Offer.
type Answer struct {
	Error string `json:"error,omitempty"` // "": the file is taken
}

// Client is the parameter "client" for a loan.
func Client(id string) string { return scheme + id }

// ID is the loan that a parameter "client" names; ok is false if it names none.
func ID(client string) (id string, ok bool) { return strings.CutPrefix(client, scheme) }

// ParseOffer reads a client's line.
func ParseOffer(line []byte) (Offer, error) {
	var o Offer
	dec := json.NewDecoder(bytes.NewReader(line))
	if err := dec.Decode(&o); err != nil {
		return Offer{}, fmt.Errorf("not an offer of a file: %w", err)
	}
	if dec.More() {
		return Offer{}, errors.New("more follows the offer of a file")
	}
	switch {
	case o.Path == "":
		return Offer{}, errors.New("the offer names no file")
	case len(o.Path) > MaxPath:
		return Offer{}, fmt.Errorf("the name of the file is longer than %d bytes", MaxPath)
	}
	return o, nil
}
