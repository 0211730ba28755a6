// policy POLICY CHECKPOINT [RECEIPT ENTRY] verifies a checkpoint under a node's whole policy with torchwood,
// and a receipt: a tlog-proof of the entry (hex).
package main

import (
	"encoding/hex"
	"fmt"
	"log"
	"os"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	policy, err := torchwood.ParsePolicy(read(os.Args[1]))
	must(err)
	checkpoint, _, err := torchwood.VerifyCheckpoint(read(os.Args[2]), policy)
	must(err)
	if len(os.Args) > 3 {
		entry, err := hex.DecodeString(os.Args[4])
		must(err)
		receipt := read(os.Args[3])
		must(torchwood.VerifyProof(policy, tlog.RecordHash(entry), receipt))
		entry[len(entry)-1] ^= 1
		if torchwood.VerifyProof(policy, tlog.RecordHash(entry), receipt) == nil {
			log.Fatal("the receipt holds for another entry too")
		}
	}
	fmt.Printf("%d %x\n", checkpoint.N, checkpoint.Hash[:])
}

func read(name string) []byte {
	data, err := os.ReadFile(name)
	must(err)
	return data
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
