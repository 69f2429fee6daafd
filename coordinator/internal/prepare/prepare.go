// Package prepare keeps images in forms that nodes take faster than the one in
// which they were registered. A form is made once for each image and for all
// that it depends on, in the background, and kept in a bounded directory. The
// image itself stays the reference: whoever finds no prepared form, or one whose
// making failed, sends the image as it is. Forms are given to the service; Frames is one.
package prepare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"kadeploy/coordinator/internal/depot"
	"kadeploy/kascade"
)

// Image is an image of the image cache, and what of a deployment a form of it
// may depend on.
type Image struct {
	Path        string // the cached copy; it is opened at once, and may be removed afterwards
	Size        int64  // bytes
	Hash        string // BLAKE3 of the whole, hexadecimal
	Kind        string // tar, dd, fsa
	Compression string

	Filesystem    string // that the deployment makes for the root: ext4, ...
	MkfsArguments string // the site's, for that file system
}

// Form is one way to prepare images. Its methods are called by several goroutines.
type Form interface {
	// Name is that of the form, in records and messages: "frames".
	Name() string
	// Key is all that the result depends on, beside the image's content: the
	// version of the form, its parameters, versions of tools. The form is of no
	// use for the image if ok is false.
	Key(im Image) (key string, ok bool)
	// Make does the work. ErrNoGain says that the result would not serve nodes
	// better than the image; it is remembered.
	Make(ctx context.Context, job Job) error
}

// ErrNoGain is what a form's Make returns, wrapped or not, when the image is as good as its result.
var ErrNoGain = errors.New("it would gain nothing")

// Job is one image to be prepared.
type Job struct {
	Image   Image
	Source  io.Reader // the image's bytes; how far they are read is taken for how far the work is
	Scratch string    // an empty directory for what the form needs meanwhile; it is removed afterwards
	Out     io.Writer // takes the result; an error of it is the end of the work
}

// Config is what a Service is made from.
type Config struct {
	Directory string // the prepared images have a subdirectory of their own in it
	Size      int64  // bytes of all prepared images together; scratch files come on top
	Forms     []Form
	Logger    *slog.Logger     // optional
	Now       func() time.Time // optional
}

// Service is the directory of prepared images, and who makes them. One process
// uses it at a time.
type Service struct {
	cfg   Config
	dir   depot.Directory
	forms map[string]Form

	ctx  context.Context // of all work in the background
	stop context.CancelFunc
	work sync.WaitGroup
	turn chan struct{} // one image is prepared at a time: it takes all processors

	mu      sync.Mutex
	used    int64 // bytes of objects and of what is being written
	objects map[key]*object
	flights map[key]*flight
	failed  map[key]error
	held    map[string][]*object // by holder
}

// key is what a prepared image is found by.
type key struct{ form, depends, hash string }

// Prepared is an image in another form. It stays where it is until its holder lets go.
type Prepared struct {
	Form     string
	Path     string
	Size     int64
	Hash     string // BLAKE3 of the whole, hexadecimal
	Manifest *kascade.Manifest
}

// New opens the directory: what an earlier process has completed is found again,
// remains of interrupted work are removed.
func New(cfg Config) (*Service, error) {
	if cfg.Size <= 0 {
		return nil, fmt.Errorf("prepared images: a size of %d bytes holds nothing: set environments.prepared_size", cfg.Size)
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	dir, err := depot.Open(cfg.Directory, subdirectory)
	if err != nil {
		return nil, fmt.Errorf("prepared images: %w", err)
	}
	s := &Service{
		cfg: cfg, dir: dir, forms: make(map[string]Form), turn: make(chan struct{}, 1),
		objects: make(map[key]*object), flights: make(map[key]*flight), failed: make(map[key]error), held: make(map[string][]*object),
	}
	for _, f := range cfg.Forms {
		s.forms[f.Name()] = f
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("prepared images: %w", err)
	}
	return s, nil
}

// Close ends the work in the background and waits for it. What is complete stays, for the next process.
func (s *Service) Close() {
	s.stop()
	s.work.Wait()
}

// keyOf finds the form and the key; ok is false if that form does not suit the image.
func (s *Service) keyOf(im Image, form string) (Form, key, bool) {
	f := s.forms[form]
	if f == nil || im.Hash == "" {
		return nil, key{}, false
	}
	depends, ok := f.Key(im)
	return f, key{form, depends, im.Hash}, ok
}
