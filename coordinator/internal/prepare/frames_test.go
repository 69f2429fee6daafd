package prepare

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"kadeploy/proto/image/frames"
)

// words is text of n bytes that compresses to about a third.
func words(n int) []byte {
	rng := rand.New(rand.NewPCG(4, 2))
	list := strings.Fields("usr lib share doc python3 x86_64-linux-gnu copyright changelog so gz bin sbin etc")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(list[rng.IntN(len(list))])
		b.WriteByte("/\n. "[rng.IntN(4)])
	}
	return b.Bytes()[:n]
}

// packed is an image made by the tool of a compression.
func packed(t *testing.T, data []byte, compression string, args ...string) Image {
	t.Helper()
	if compression != "none" {
		cmd := exec.CommandContext(t.Context(), compression, append([]string{"-c"}, args...)...)
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		data = out
	}
	im := image(t, string(data))
	im.Compression = compression
	return im
}

// plainOf decodes a prepared image with the zstd tool.
func plainOf(t *testing.T, p *Prepared) []byte {
	t.Helper()
	content(t, p)
	out, err := exec.CommandContext(t.Context(), "zstd", "-dcq", p.Path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFramesOfEachCompression(t *testing.T) {
	data := words(9 << 20)
	for _, compression := range []string{"none", "gzip", "bzip2", "xz", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			s := open(t, t.TempDir(), 100<<20, Frames{})
			im := packed(t, data, compression)
			s.Begin(im, framesName)
			settle(s)
			p, err := s.Take(t.Context(), im, framesName, "W")
			if err != nil {
				t.Fatal(err)
			}
			if got := plainOf(t, p); !bytes.Equal(got, data) {
				t.Errorf("the frames stand for %d bytes, not for the image's %d", len(got), len(data))
			}
			f, err := os.Open(p.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			x, err := frames.ReadIndex(f)
			if err != nil || len(x.Frames) != 5 || x.FrameSize != frames.DefaultFrameSize {
				t.Errorf("index = %+v, %v; want 5 frames of %d", x, err, frames.DefaultFrameSize)
			}
		})
	}
}

// An image that one processor decompresses fast, that is in frames, or that
// would become much larger is sent as it is.
func TestFramesOnlyWhereTheyGain(t *testing.T) {
	s := open(t, t.TempDir(), 100<<20, Frames{})
	small, quick := packed(t, words(1000), "gzip"), packed(t, words(4<<20), "lz4")
	for _, im := range []Image{small, quick} {
		s.Begin(im, framesName)
		settle(s)
		if _, err := s.Take(t.Context(), im, framesName, "W"); !errors.Is(err, ErrUnsuitable) {
			t.Errorf("%s of %d bytes: %v, want ErrUnsuitable", im.Compression, im.Size, err)
		}
	}
	// What repeats itself far away is lost in frames: they are many times larger.
	block := make([]byte, 3<<20)
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(block)
	far := packed(t, bytes.Repeat(block, 4), "zstd", "--long=27")

	var body bytes.Buffer
	x, err := frames.Encode(t.Context(), &body, bytes.NewReader(words(9<<20)), frames.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ready := image(t, string(append(x.Encode(), body.Bytes()...)))
	ready.Compression = "zstd"
	bomb := packed(t, make([]byte, 256<<20), "zstd")
	bomb.Size = max(bomb.Size, smallImage)
	for reason, im := range map[string]Image{"in frames already": ready, "much larger": far, "200 times as large as its file": bomb} {
		s.Begin(im, framesName)
		settle(s)
		if _, err := s.Take(t.Context(), im, framesName, "W"); !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), reason) {
			t.Errorf("Take = %v, want ErrDeclined with %q", err, reason)
		}
	}
}

// An image that is damaged, or not what its description says, is not prepared.
func TestFramesOfDamage(t *testing.T) {
	data := words(9 << 20)
	for _, compression := range []string{"gzip", "bzip2", "xz", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			whole := packed(t, data, compression)
			raw, err := os.ReadFile(whole.Path)
			if err != nil {
				t.Fatal(err)
			}
			cut := image(t, string(raw[:len(raw)-1000]))
			bad := bytes.Clone(raw)
			bad[len(bad)/2] ^= 0x55
			flipped, other := image(t, string(bad)), image(t, string(data))
			for what, im := range map[string]Image{"cut": cut, "damaged": flipped, "not compressed": other} {
				im.Compression = compression
				s := open(t, t.TempDir(), 100<<20, Frames{})
				s.Begin(im, framesName)
				settle(s)
				_, err := s.Take(t.Context(), im, framesName, "W")
				if err == nil || errors.Is(err, ErrNotReady) || errors.Is(err, ErrDeclined) {
					t.Errorf("%s: Take = %v, want why it failed", what, err)
				}
			}
		})
	}
}
