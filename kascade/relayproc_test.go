package kascade

func relayMain() bool { return false }
