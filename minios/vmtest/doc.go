// Package vmtest boots the built mini-OS in QEMU, without KVM, and checks what
// can only be true on a machine. KADEPLOY_MINIOS names the directory of the image.
package vmtest
