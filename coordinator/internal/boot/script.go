package boot

import (
	"fmt"
	"strings"
	"text/template"

	"kadeploy/coordinator/internal/profile"
)

// scriptData is what the templates below are filled with. Every value is
// already fit to stand in an iPXE script.
type scriptData struct {
	Node, Kernel, Initrd, Overlay, Arguments, Self, Problem, Loader string
}

// The scripts. Loops are counted; what fails for good goes back to the
// coordinator, which by then may know better, and at last resets the machine.
//
//   - An initrd is named on the command line as well, because a UEFI kernel
//     finds it only by that name; BIOS kernels pay no heed.
//   - On UEFI the disk is booted by a loader out of the repository, as older iPXEs
//     cannot do it themselves. Where there is none, or it found nothing, `exit 1` tells the firmware that this boot entry failed, so that it
//     goes on to the next one; after an exit with 0, OVMF stops at its menu.
var scripts = template.Must(template.New("scripts").Parse(`
{{- define "minios" -}}
#!ipxe
echo Kadeploy: {{.Node}} boots the deployment mini-OS
set attempt:int32 0
:again
inc attempt
kernel {{.Kernel}} {{.Arguments}} || goto failed
{{with .Initrd}}initrd --name initrd {{.}} || goto failed
{{end -}}
{{with .Overlay}}initrd --name overlay {{.}} || goto failed
{{end}}boot || goto failed
:failed
imgfree
iseq ${attempt} 5 && goto giveup ||
echo Kadeploy: {{.Node}} could not load the mini-OS (attempt ${attempt} of 5), trying again in 3 seconds
sleep 3
goto again
:giveup
echo Kadeploy: {{.Node}} could not load the mini-OS, asking the coordinator again in 10 seconds
sleep 10
chain --replace {{.Self}} || reboot
{{end}}

{{- define "local" -}}
#!ipxe
echo Kadeploy: {{.Node}} boots its disk
iseq ${platform} efi || goto bios
{{with .Loader}}chain --autofree {{.}} ||
{{end}}exit 1
:bios
sanboot --no-describe --drive 0x80 ||
echo Kadeploy: {{.Node}} has no bootable disk, leaving it to the firmware
exit
{{end}}

{{- define "problem" -}}
#!ipxe
echo Kadeploy: {{.Node}} cannot boot yet: {{.Problem}}
set attempt:int32 0
:again
inc attempt
echo Kadeploy: asking the coordinator again in 5 seconds
sleep 5
chain --replace {{.Self}} ||
iseq ${attempt} 60 || goto again
reboot
{{end}}`))

// localLoader is the file of the repository that boots the disk of a UEFI
// machine; mkminios makes it.
const localLoader = "local.efi"

// render cannot fail: the templates and their data are fixed together.
func render(name string, data scriptData) []byte {
	var b strings.Builder
	if err := scripts.ExecuteTemplate(&b, name, data); err != nil {
		panic(fmt.Sprintf("boot script %s: %v", name, err))
	}
	return []byte(b.String())
}

// arguments is the kernel's command line: what makes it find its initrds, the
// site's parameters, the interface that it booted from (in PXELINUX's form, with
// the hardware type), and how the agent reaches and trusts the coordinator.
func (s *scripter) arguments(p profile.Profile, node, token string) string {
	var words []string
	if p.Initrd != "" {
		words = append(words, "initrd=initrd")
	}
	if s.overlay != "" {
		words = append(words, "initrd=overlay")
	}
	words = append(words, strings.Fields(s.params)...)
	words = append(words, strings.Fields(p.Params)...)
	words = append(words, "BOOTIF=01-${netX/mac:hexhyp}")
	return strings.Join(append(words, agentWords(s.coordinator, node, token, s.fingerprint)...), " ")
}

// agentWords are the arguments that the agent finds and proves itself with.
func agentWords(coordinator, node, token, fingerprint string) []string {
	return []string{
		"kadeploy.coordinator=" + coordinator, "kadeploy.node=" + node,
		"kadeploy.token=" + token, "kadeploy.fingerprint=" + fingerprint,
	}
}

// scripter makes the boot scripts of nodes.
type scripter struct {
	base                     string // URL of this service, without a final slash
	overlay                  string // URL of the overlay; empty: none
	loader                   string // URL of what boots the disk of a UEFI machine; empty: none
	params                   string
	coordinator, fingerprint string
}

// miniOS is the script that boots the mini-OS with a token.
func (s *scripter) miniOS(p profile.Profile, node, token string) []byte {
	return render("minios", scriptData{
		Node: node, Kernel: s.url(p.Kernel), Initrd: s.urlIf(p.Initrd), Overlay: s.overlay,
		Arguments: s.arguments(p, node, token), Self: s.base + pathScript,
	})
}

// local is the script that boots the node's disk.
func (s *scripter) local(node string) []byte {
	return render("local", scriptData{Node: node, Loader: s.loader})
}

// problem is the script that says on the node's console why it cannot boot, and asks again.
func (s *scripter) problem(node, why string) []byte {
	return render("problem", scriptData{Node: node, Problem: consoleText(why), Self: s.base + pathScript})
}

// url is where a file of the repository is fetched; a URL stays as it is.
func (s *scripter) url(file string) string {
	if strings.Contains(file, "://") {
		return file
	}
	return s.base + pathFiles + strings.TrimPrefix(file, "/")
}

// urlIf is url, and nothing for nothing.
func (s *scripter) urlIf(file string) string {
	if file == "" {
		return ""
	}
	return s.url(file)
}

// consoleText makes a message that iPXE's echo prints and does not interpret:
// one line of printable ASCII without its operators, variables and comments.
func consoleText(s string) string {
	const most = 300
	clean := strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune("$|&#\\\"'", r), r < ' ', r > '~':
			return ' '
		}
		return r
	}, s)
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) > most {
		clean = clean[:most]
	}
	return clean
}
