package imagecache

import (
	"errors"
	"fmt"
	"syscall"

	"kadeploy/coordinator/internal/apperr"
)

// lentFile is a file that the client has opened itself. Its checksum is the one
// that the client's export server would give, so that an environment which was
// registered over one way can be deployed over the other.
type lentFile struct{ serverFile }

func (c *Cache) openLentFile(req Request, loan, name string) (source, error) {
	refuse := func(code apperr.Code, err error) error {
		return apperr.New(code, "the %s file %s of the client cannot be read: %w", req.Kind, name, err)
	}
	if c.cfg.Lent == nil {
		return nil, refuse(apperr.InvalidClient, errors.New("files are not lent here"))
	}
	f, err := c.cfg.Lent(loan, req.User, name)
	if err != nil {
		return nil, refuse(apperr.InvalidClient, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, refuse(apperr.InvalidFile, errors.Join(err, f.Close()))
	}
	return &lentFile{serverFile{f, info, req}}, nil
}

func (l *lentFile) version() version {
	// What the kernel says of an open file is true whoever lends it.
	v := version{key: "lent " + fileID(l.info), size: l.info.Size()}
	if st, ok := l.info.Sys().(*syscall.Stat_t); ok {
		v.checksum = fmt.Sprintf("%x-%x-%x", st.Ino, st.Size, st.Mtim.Sec)
	}
	return v
}
