package gunzip

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// Thousands of damaged streams, by seed: the same data as the standard library's, or an error on both sides.
func TestDamagedAsStandardLibrary(t *testing.T) {
	var seeds [][]byte
	all := contents()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		data := all[name]
		for _, level := range []int{-2, 1, 9} {
			seeds = append(seeds, compress(t, level, data[:min(len(data), 2000)]))
		}
	}
	for seed := range uint64(5000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		z := bytes.Clone(seeds[seed%uint64(len(seeds))])
		for range 1 + rng.IntN(3) {
			z[rng.IntN(len(z))] = byte(rng.Uint32())
		}
		var want []byte
		r, wantErr := gzip.NewReader(bytes.NewReader(z))
		if wantErr == nil {
			want, wantErr = io.ReadAll(r)
		}
		got, err := decode(bytes.NewReader(z))
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes, %v; compress/gzip: %d bytes, %v", seed, len(got), err, len(want), wantErr)
		}
	}
}
