// opennote CHECKPOINT LOG_VKEY COSIGNER_VKEY... opens a checkpoint with golang.org/x/mod/sumdb/note and
// transparency-dev/formats: the log's line and every one of its cosignatures must hold.
package main

import (
	"fmt"
	"log"
	"os"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	raw, err := os.ReadFile(os.Args[1])
	must(err)
	logKey, err := note.NewVerifier(os.Args[2])
	must(err)
	var cosigners []note.Verifier
	for _, vkey := range os.Args[3:] {
		cosigner, err := f_note.NewVerifierForCosignatureV1(vkey)
		must(err)
		cosigners = append(cosigners, cosigner)
	}
	opened, err := note.Open(raw, note.VerifierList(append(cosigners, logKey)...))
	must(err)
	checkpoint, rest, _, err := f_log.ParseCheckpoint(raw, logKey.Name(), logKey, cosigners...)
	must(err)
	if len(rest) != 0 {
		log.Fatalf("%d bytes follow the checkpoint", len(rest))
	}
	for _, each := range opened.Sigs {
		if each.Name == logKey.Name() {
			continue
		}
		if _, err := f_note.CoSigV1Timestamp(each); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%d %x %d %d\n", checkpoint.Size, checkpoint.Hash, len(opened.Sigs), len(opened.UnverifiedSigs))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
