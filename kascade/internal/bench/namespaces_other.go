//go:build !linux

package bench

import "errors"

func (b *Bench) network(*Case) (network, error) {
	if b.Loopback {
		return loopback{}, nil
	}
	return nil, errors.New("network namespaces exist on Linux only: use --loopback")
}
