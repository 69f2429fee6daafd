package main

import (
	"kadeploy/coordinator/internal/config"
	"kadeploy/kascade"
)

// headOptions is how images are sent, as the configuration says.
func headOptions(k *config.Kascade) kascade.HeadOptions {
	modes := map[string]kascade.SlowMode{"side": kascade.SlowSide, "wait": kascade.SlowWait, "drop": kascade.SlowDrop}
	compress := map[string]kascade.Compression{"auto": kascade.CompressAuto, "on": kascade.CompressOn, "off": kascade.CompressOff}
	return kascade.HeadOptions{
		Order: k.Order, Window: k.Window, DeadAfter: k.DeadAfter, Chains: k.Chains, Encrypt: k.Encrypt,
		Slow:     kascade.Slow{Mode: modes[k.Slow], Share: k.SlowShare, Patience: k.SlowPatience},
		Compress: compress[k.Compress],
	}
}
