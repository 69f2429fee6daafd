package bench

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"kadeploy/kascade"
)

// victim tells whether a node should have failed.
func (s *stage) victim(place int) bool {
	_, harmed := s.harm(place)
	return harmed || slices.Contains(s.c.deadNodes(), place)
}

// measure makes figures of what the processes said.
func (s *stage) measure(h *headEnd) *Run {
	r := &Run{Rates: map[string]float64{}, SecondHalf: map[string]float64{}, HeadMemory: h.Memory, Slow: h.Slow, Hops: s.c.Nodes - len(s.c.deadNodes())}
	r.Gather = time.Unix(0, h.Begin).Sub(s.began)
	r.Command = time.Unix(0, h.End).Sub(s.began)
	if h.Error != "" {
		r.Wrong = append(r.Wrong, "head: "+h.Error)
	}
	for i, end := range s.ends {
		name := nodeName(i + 1)
		reason, listed := h.Nodes[name]
		switch {
		case !listed:
			r.Wrong = append(r.Wrong, name+" is in no list")
			continue
		case s.victim(i + 1):
			if reason == "" {
				r.Wrong = append(r.Wrong, name+" is listed as good, although it was harmed")
			}
			continue
		case reason != "":
			if s.c.Slow.Mode == kascade.SlowDrop && h.Slow[name] != "" {
				continue
			}
			r.Wrong = append(r.Wrong, name+" failed: "+reason)
			continue
		case end == nil || end.Error != "" || end.Bytes != s.c.Size:
			r.Wrong = append(r.Wrong, fmt.Sprintf("%s is listed as good: %+v", name, end))
			continue
		}
		last := time.Unix(0, end.Last)
		r.Elapsed = max(r.Elapsed, last.Sub(s.began))
		r.Rates[name] = float64(end.Bytes) / time.Duration(end.Last-h.Begin).Seconds()
		if end.Marked > 0 && end.Last > end.Marked {
			r.SecondHalf[name] = float64(end.Bytes) / 2 / time.Duration(end.Last-end.Marked).Seconds()
		}
		r.Memory = max(r.Memory, end.Memory)
		r.FirstByte = time.Duration(end.First - h.Ready)
	}
	r.CPU = s.endAll()
	return r
}

// compare checks the hashes that the sinks made against the source's.
func (s *stage) compare(r *Run, src *data) error {
	hash := blake3.New()
	if _, err := io.Copy(hash, io.NewSectionReader(src, 0, src.size)); err != nil {
		return fmt.Errorf("read the source again: %w", err)
	}
	want := hex.EncodeToString(hash.Sum(nil))
	for i, end := range s.ends {
		if end != nil && end.Error == "" && end.Digest != want {
			r.Wrong = append(r.Wrong, nodeName(i+1)+": its copy is not the source")
		}
	}
	return nil
}
