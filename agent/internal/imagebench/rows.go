package imagebench

import "fmt"

// rows are what the table has. $1 is the input, $2 the target.
func rows(self string) []Row {
	ours := func(args string) Contender {
		return Contender{"ours", fmt.Sprintf("exec %q run %s \"$1\" \"$2\"", self, args)}
	}
	tool := func(name, command string) Contender { return Contender{name, command} }
	const flush = ` && sync -f "$2"`
	gnu := func(flag string) string { return `tar -xpf "$1" -C "$2" --numeric-owner ` + flag }
	return []Row{
		{"tar.zst, one frame", "root.tar.zst", false, "1.2 x, CPU at most 0.8 x", []Contender{
			ours("--kind tar --compression zstd --no-flush"),
			tool("tar --zstd", gnu("--zstd")),
			tool("bsdtar", `bsdtar -xpf "$1" -C "$2" --numeric-owner`),
			tool("zstd -dc | tar", `zstd -dc "$1" | tar -xpf - -C "$2" --numeric-owner`),
		}},
		{"frames", "root.frames.zst", false, "1.4 x", []Contender{
			ours("--kind tar --compression zstd --no-flush"),
			tool("tar --zstd", gnu("--zstd")),
		}},
		{"frames, durable", "root.frames.zst", false, "1.3 x", []Contender{
			ours("--kind tar --compression zstd"),
			tool("tar --zstd, sync", gnu("--zstd")+flush),
		}},
		{"blocks, durable", "root.blocks.zst", false, "3 x", []Contender{
			ours("--kind blocks"),
			tool("tar --zstd, sync", `tar -xpf "${1%.blocks.zst}.tar.zst" -C "$2" --numeric-owner --zstd`+flush),
		}},
		{"tar.lz4", "root.tar.lz4", false, "2 x", []Contender{
			ours("--kind tar --compression lz4 --no-flush"),
			tool("tar -Ilz4", gnu("-Ilz4")),
		}},
		{"tar.gz", "root.tar.gz", false, "1.6 x", []Contender{
			ours("--kind tar --compression gzip --no-flush"),
			tool("tar -z", gnu("-z")),
			tool("tar -Ipigz", gnu("-Ipigz")),
		}},
		{"tar.xz", "root.tar.xz", false, "1 x", []Contender{
			ours("--kind tar --compression xz --no-flush"),
			tool("tar -J", gnu("-J")),
		}},
		{"tar", "root.tar", false, "", []Contender{
			ours("--kind tar --compression none --no-flush"),
			tool("tar", gnu("")),
		}},
		{"dd.zst", "disk.zst", true, "1.5 x", []Contender{
			ours("--kind dd --compression zstd"),
			tool("zstd -dc | dd", `zstd -dc "$1" | dd of="$2" bs=1M iflag=fullblock conv=sparse,fsync status=none`),
		}},
	}
}
