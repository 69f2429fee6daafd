package bootloader

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kadeploy/agent/internal/command"
)

// register puts the boot loader into the firmware's list, behind what is there: a
// node has to go on booting from the network first. An entry of an earlier
// deployment is replaced, as it names a partition that is gone.
func (in Install) register(ctx context.Context) error {
	text, err := command.Output(ctx, "efibootmgr")
	if err != nil {
		return err
	}
	for _, number := range parseBootList(text).named(bootloaderID) {
		if _, err := command.Output(ctx, "efibootmgr", "-q", "-b", number, "-B"); err != nil {
			return err
		}
	}
	// Created without a place in the order: -c would make it the first.
	if _, err := command.Output(ctx, "efibootmgr", "-q", "-C", "-d", in.Disk, "-p", fmt.Sprint(in.ESPNumber),
		"-L", bootloaderID, "-l", `\EFI\`+bootloaderID+`\grubx64.efi`); err != nil {
		return err
	}
	if text, err = command.Output(ctx, "efibootmgr"); err != nil {
		return err
	}
	list := parseBootList(text)
	order := slices.Clone(list.order)
	for _, number := range list.named(bootloaderID) {
		if !slices.Contains(order, number) {
			order = append(order, number)
		}
	}
	if slices.Equal(order, list.order) {
		return nil
	}
	_, err = command.Output(ctx, "efibootmgr", "-q", "-o", strings.Join(order, ","))
	return err
}

// bootList is the firmware's list of what it boots: numbers of four hexadecimal digits.
type bootList struct {
	order   []string
	entries [][2]string // number, name
}

// bootEntry is a line such as "Boot0003* kadeploy	HD(4,GPT,...)"; older programs print the name alone.
var bootEntry = regexp.MustCompile(`^Boot([0-9A-Fa-f]{4})[* ] ([^\t]*)`)

// parseBootList reads what efibootmgr prints.
func parseBootList(text string) bootList {
	var l bootList
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if order, ok := strings.CutPrefix(line, "BootOrder: "); ok {
			for number := range strings.SplitSeq(order, ",") {
				if number = strings.TrimSpace(number); number != "" {
					l.order = append(l.order, number)
				}
			}
		} else if m := bootEntry.FindStringSubmatch(line); m != nil {
			l.entries = append(l.entries, [2]string{m[1], strings.TrimSpace(m[2])})
		}
	}
	return l
}

func (l bootList) named(name string) (numbers []string) {
	for _, e := range l.entries {
		if e[1] == name {
			numbers = append(numbers, e[0])
		}
	}
	return numbers
}
