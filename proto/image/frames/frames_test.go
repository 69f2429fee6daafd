package frames

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

var update = flag.Bool("update", false, "rewrite testdata/example.zst and the example in SPEC.md")

// file is a whole file of frames.
func file(t testing.TB, data []byte, o Options) []byte {
	t.Helper()
	var body bytes.Buffer
	x, err := Encode(t.Context(), &body, bytes.NewReader(data), o)
	if err != nil {
		t.Fatal(err)
	}
	return append(x.Encode(), body.Bytes()...)
}

// decode reads a file of frames, as an agent does, with one decoder.
func decode(data []byte) ([]byte, error) {
	r := bytes.NewReader(data)
	x, err := ReadIndex(r)
	if err != nil {
		return nil, err
	}
	d, err := NewDecoder()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var out []byte
	for _, e := range x.Frames {
		if int(e.Compressed) > r.Len() {
			return nil, corrupt("the file ends before its last frame")
		}
		frame := make([]byte, e.Compressed)
		if _, err := io.ReadFull(r, frame); err != nil {
			return nil, err
		}
		plain, err := d.Decode(make([]byte, e.Size), frame, e)
		if err != nil {
			return nil, err
		}
		out = append(out, plain...)
	}
	if r.Len() > 0 {
		return nil, corrupt("%d bytes after the last frame", r.Len())
	}
	return out, nil
}

// text is compressible, and different everywhere.
func text(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("usr lib share doc python3 x86_64-linux-gnu copyright changelog so gz")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[rng.IntN(len(words))])
		b.WriteByte("/\n. "[rng.IntN(4)])
	}
	return b.Bytes()[:n]
}

func TestRoundTrip(t *testing.T) {
	noise := make([]byte, 3<<20)
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(noise)
	for name, c := range map[string]struct {
		data []byte
		size int
	}{
		"one byte": {[]byte("x"), 0}, "one frame": {text(1 << 20), 0}, "exact frames": {text(4 << 20), 1 << 20},
		"a rest": {text(5<<20 + 1), 1 << 20}, "tiny frames": {text(1000), 7}, "noise": {noise, 1 << 20}, "zeros": {make([]byte, 9<<20), MaxFrameSize},
	} {
		t.Run(name, func(t *testing.T) {
			coded := file(t, c.data, Options{FrameSize: c.size, Workers: 3})
			if !Sniff(coded) {
				t.Error("Sniff does not know its own index")
			}
			got, err := decode(coded)
			if err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("decode = %d bytes, %v; want the %d bytes that were encoded", len(got), err, len(c.data))
			}
			cmd := exec.Command("zstd", "-dc")
			cmd.Stdin = bytes.NewReader(coded)
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, c.data) {
				t.Errorf("zstd -dc = %d bytes, %v; want the %d bytes that were encoded", len(out), err, len(c.data))
			}
		})
	}
}

func TestEncodeFails(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		r    io.Reader
		w    io.Writer
		o    Options
		want string
	}{
		"nothing":     {bytes.NewReader(nil), io.Discard, Options{}, "nothing to encode"},
		"source":      {io.MultiReader(bytes.NewReader(text(10000)), iotest.ErrReader(broken)), io.Discard, Options{FrameSize: 100}, "broken"},
		"truncated":   {io.MultiReader(bytes.NewReader(text(250)), iotest.ErrReader(io.ErrUnexpectedEOF)), io.Discard, Options{FrameSize: 100}, "unexpected EOF"},
		"destination": {bytes.NewReader(text(100000)), failing{broken}, Options{FrameSize: 100}, "broken"},
		"frame size":  {bytes.NewReader(nil), io.Discard, Options{FrameSize: MaxFrameSize + 1}, "frame size"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Encode(t.Context(), c.w, c.r, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Encode = %v, want an error with %q", err, c.want)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// The vectors are changes of the example's bytes, and what a reader says of each.
func TestVectors(t *testing.T) {
	good, err := os.ReadFile("testdata/example.zst")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(good); err != nil || string(got) != "frames" {
		t.Fatalf("example = %q, %v", got, err)
	}
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name  string // what is wrong
		At    int    // offset of what is changed; -1: the file's end
		Bytes string // what stands there instead, hexadecimal
		Cut   int    // bytes that are cut off the end
		Sum   bool   // the index's checksum is made right again
		Error string // part of the message
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			data := bytes.Clone(good)
			b, err := hex.DecodeString(v.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if v.At < 0 {
				data = append(data, b...)
			} else {
				copy(data[v.At:], b)
			}
			if v.Sum {
				resum(data)
			}
			_, err = decode(data[:len(data)-v.Cut])
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), v.Error) {
				t.Errorf("decode = %v, want ErrCorrupt with %q", err, v.Error)
			}
		})
	}
}

// resum makes the checksum of the example's index right.
func resum(data []byte) {
	end := headerSize + 2*entrySize
	binary.LittleEndian.PutUint32(data[end:], crc32.Checksum(data[prefix:end], castagnoli))
}

func TestSpecExample(t *testing.T) {
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	example := file(t, []byte("frames"), Options{FrameSize: 4, Workers: 1})
	form := regexp.MustCompile("(?s)## Example.*?```\n(.*?)```")
	if *update {
		if err := os.WriteFile("testdata/example.zst", example, 0o644); err != nil {
			t.Fatal(err)
		}
		at := form.FindSubmatchIndex(spec)
		dump := regexp.MustCompile("(.{95}) ").ReplaceAllString(strings.TrimSpace(spaced(example)), "$1\n")
		spec = []byte(string(spec[:at[2]]) + dump + "\n" + string(spec[at[3]:]))
		if err := os.WriteFile("SPEC.md", spec, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found := form.FindSubmatch(spec)
	if found == nil {
		t.Fatal("SPEC.md has no example")
	}
	bytesOf, err := hex.DecodeString(strings.Join(strings.Fields(string(found[1])), ""))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(bytesOf); err != nil || string(got) != "frames" {
		t.Errorf("the example of SPEC.md = %q, %v", got, err)
	}
	if !bytes.Equal(bytesOf, example) {
		t.Errorf("the example of SPEC.md is not what Encode makes:\n%x\n%x", bytesOf, example)
	}
}

func spaced(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteString(hex.EncodeToString([]byte{c}) + " ")
	}
	return s.String()
}

func FuzzDecode(f *testing.F) {
	for _, data := range [][]byte{[]byte("frames"), text(3000)} {
		f.Add(file(f, data, Options{FrameSize: 1000, Workers: 1}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := decode(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("decode = %v, want ErrCorrupt", err)
			}
			return
		}
		if x, _ := ReadIndex(bytes.NewReader(data)); uint64(len(out)) != first(x.Totals()) {
			t.Errorf("decode = %d bytes, the index says %d", len(out), first(x.Totals()))
		}
	})
}

func first(a, _ uint64) uint64 { return a }
