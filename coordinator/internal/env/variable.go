package env

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// VariablePrefix is put before the key of a custom variable in the environment of scripts.
const VariablePrefix = "KADEPLOY_"

// ReservedVariables are the keys, without prefix, that the system itself gives
// to scripts (contract 4.8).
func ReservedVariables() []string {
	return []string{
		"CLUSTER", "DEPLOY_PART", "BLOCK_DEVICE", "DEPLOY_PART_NUM", "SWAP_PART_NUM", "PROD_PART_NUM", "TMP_PART_NUM",
		"PREPOST_EXTRACTION_DIR", "TMP_DIR", "ENV", "ENV_KERNEL", "ENV_INITRD", "ENV_KERNEL_PARAMS", "ENV_HYPERVISOR",
		"ENV_HYPERVISOR_PARAMS", "OS_KIND", "PART_TYPE", "FS_TYPE", "FS_TYPE_TMP", "ENV_EXTRACTION_DIR", "VERSION",
	}
}

// CheckVariable tells why a custom variable cannot be given to scripts.
func CheckVariable(key, value string) error {
	if key == "" {
		return errors.New("the name of a custom variable is empty")
	}
	for i, c := range key {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if digit := '0' <= c && c <= '9'; !letter && (i == 0 || !digit) {
			return fmt.Errorf("invalid name '%s' of a custom variable: use letters, digits and underscores", key)
		}
	}
	if slices.Contains(ReservedVariables(), key) {
		return fmt.Errorf("the custom variable '%s' would replace the reserved %s%s: use another name", key, VariablePrefix, key)
	}
	if strings.ContainsRune(value, 0) {
		return fmt.Errorf("the value of the custom variable '%s' contains a zero byte", key)
	}
	return nil
}
