package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// envRef names an environment of the registry: NAME[:VERSION][@USER].
type envRef struct {
	name, version, owner string
}

// parseEnvRef takes such a name apart. A colon or an at sign may be part of the
// name where no version, or no user, follows.
func parseEnvRef(text string) envRef {
	var r envRef
	r.name = text
	if i := strings.LastIndexByte(r.name, '@'); i > 0 && i < len(r.name)-1 {
		r.name, r.owner = r.name[:i], r.name[i+1:]
	}
	if i := strings.LastIndexByte(r.name, ':'); i > 0 && numberForm.MatchString(r.name[i+1:]) {
		r.name, r.version = r.name[:i], r.name[i+1:]
	}
	return r
}

// fetch finds the one environment that a name means: the caller's own first.
func (r envRef) fetch(ctx context.Context, s *session) (*registered, error) {
	in := &registry{owner: r.owner, version: r.version}
	found, err := in.find(ctx, s, r.name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, in.notFound(r.name)
	}
	best := &found[0]
	for i := range found {
		if found[i].User == s.actor && best.User != s.actor {
			best = &found[i]
		}
	}
	return best, nil
}

func (e *registered) String() string { return fmt.Sprintf("%s:%d@%s", e.Name, e.Version, e.User) }

// isFile tells whether a word means a file or a URL, not a name in the registry.
func isFile(word string) bool {
	if strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "local://") {
		return true
	}
	st, err := os.Stat(word)
	if err == nil {
		return !st.IsDir()
	}
	return strings.Contains(word, "/") && errors.Is(err, fs.ErrNotExist) // it is told that there is no such file
}
