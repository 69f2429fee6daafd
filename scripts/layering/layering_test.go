package layering

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "kadeploy"

type pkg struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string
	Deps       []string
}

// packages are all packages of the module, without their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,Deps", module+"/...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 20 {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

// own is the path inside the module; ok is false for other modules' packages.
func own(importPath string) (inside string, ok bool) {
	return strings.CutPrefix(importPath, module+"/")
}

func tree(inside string) string {
	first, _, _ := strings.Cut(inside, "/")
	return first
}

func TestTreesKeepToThemselves(t *testing.T) {
	mayImport := map[string][]string{
		"agent":       {"agent", "kascade", "proto"},
		"coordinator": {"coordinator", "kascade", "proto"},
		"kascade":     {"kascade"},
		"proto":       {"proto"},
		"minios":      {"minios"},
		"scripts":     {},
	}
	for _, p := range packages(t) {
		inside, _ := own(p.ImportPath)
		allowed, known := mayImport[tree(inside)]
		if !known {
			t.Errorf("%s is in no known tree", inside)
			continue
		}
		for _, i := range p.Imports {
			if to, ok := own(i); ok && !slices.Contains(allowed, tree(to)) {
				t.Errorf("%s imports %s: %s may import %v only", inside, to, tree(inside), allowed)
			}
		}
	}
}

// Ranks of the coordinator's packages: a package imports lower ranks only.
// The frontend's are apart: they import each other downwards, and what is pure.
var ranks = map[string]int{
	// pure
	"apperr": 0, "customops": 0, "loan": 0, "expression": 0, "profile": 0, "tree": -1, "layout": 0,
	"cluster": 1, "env": 1, "nodeset": 1, "stats": 1,
	"workflow": 2,
	// drivers
	"engine": 3, "steps": 3, "command": 3, "depot": 3, "extfs": 3, "timeline": 3,
	// adapters
	"api": 4, "auth": 4, "boot": 4, "remote": 4, "borrow": 4, "broadcast": 4, "config": 4, "console": 4, "fleet": 4, "identity": 4, "imagecache": 4, "metrics": 4,
	"power": 4, "prepare": 4, "probe": 4, "rights": 4, "store": 4, "vlan": 4,
	"rehearse": 5, // the world around a coordinator that rehearses
	// frontend
	"manual": 0, "clientconf": 4, "ui": 4, "client": 5, "cli": 6,
}

var pure = []string{"expression", "apperr", "customops", "loan", "nodeset", "profile", "tree", "layout", "env", "cluster", "stats", "workflow", "timeline", "manual"}

var frontend = []string{"client", "ui", "cli", "clientconf"}

// room is the name of a coordinator package in the tables above.
func room(importPath string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(importPath, module+"/coordinator/internal/")
	name, _, _ = strings.Cut(rest, "/")
	return name, ok
}

func TestNothingImportsUpwards(t *testing.T) {
	for _, p := range packages(t) {
		from, ok := room(p.ImportPath)
		if !ok {
			continue
		}
		rank, known := ranks[from]
		if !known {
			t.Errorf("coordinator/internal/%s has no rank: add it to the table, and to docs/architecture.md", from)
			continue
		}
		for _, i := range p.Imports {
			to, ok := room(i)
			if !ok || to == from {
				continue
			}
			if ranks[to] >= rank {
				t.Errorf("%s (rank %d) imports %s (rank %d)", from, rank, to, ranks[to])
			}
			if slices.Contains(frontend, from) && !slices.Contains(frontend, to) && !slices.Contains(pure, to) {
				t.Errorf("%s, of the frontend, imports %s, of the daemon", from, to)
			}
			if slices.Contains(frontend, to) && !slices.Contains(frontend, from) {
				t.Errorf("%s, of the daemon, imports %s, of the frontend", from, to)
			}
		}
	}
}

func TestPurePackagesDoNoIO(t *testing.T) {
	forbidden := []string{"os", "os/exec", "os/signal", "net", "net/http", "log", "log/slog", "syscall", "database/sql"}
	for _, p := range packages(t) {
		name, ok := room(p.ImportPath)
		isPure := ok && slices.Contains(pure, name) || p.ImportPath == module+"/kascade/internal/chain"
		if !isPure {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(forbidden, i) {
				t.Errorf("%s is pure and imports %s", p.ImportPath, i)
			}
		}
	}
}

func TestPrograms(t *testing.T) {
	// What must not be linked into a program, by part of the import path.
	forbidden := map[string][]string{
		"coordinator/cmd/kadeploy": {"sqlite", "database/sql", "coordinator/internal/engine", "coordinator/internal/store",
			"coordinator/internal/boot", "coordinator/internal/fleet", "coordinator/internal/steps", "coordinator/internal/api"},
		"agent/cmd/kadeploy-agent": {"sqlite", "database/sql", "yaml", "spf13/cobra", "testing"},
	}
	found := 0
	for _, p := range packages(t) {
		inside, _ := own(p.ImportPath)
		for _, word := range forbidden[inside] {
			for _, d := range p.Deps {
				if d == word || strings.Contains(d, "/"+word) || strings.HasSuffix(d, word) && word != "testing" {
					t.Errorf("%s links %s", inside, d)
				}
			}
		}
		if forbidden[inside] != nil {
			found++
		}
	}
	if found != len(forbidden) {
		t.Errorf("%d of %d programs were found", found, len(forbidden))
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		for _, vague := range []string{"util", "utils", "common", "helpers", "types", "misc"} {
			if path.Base(p.ImportPath) == vague {
				t.Errorf("%s says nothing by its name", p.ImportPath)
			}
		}
	}
}
