//go:build tools

// Package interop pins the programs of others that are run against a node.
package interop

import (
	_ "filippo.io/torchwood/cmd/litewitness"
	_ "github.com/transparency-dev/tessera/cmd/fsck"
)
