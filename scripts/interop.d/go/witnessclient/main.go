// witnessclient vkey ORIGIN SEED prints the vkey of a log that this program makes up.
// witnessclient run ORIGIN SEED URL WITNESS_VKEY has that log's checkpoints cosigned at URL, while it
// grows, and demands each status that C2SP tlog-witness names where a request is wrong.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type grown struct {
	origin string
	signer note.Signer
	hashes []tlog.Hash
	size   int64
}

func (g *grown) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = g.hashes[index]
	}
	return found, nil
}

func (g *grown) growTo(size int64) {
	for ; g.size < size; g.size++ {
		added, err := tlog.StoredHashes(g.size, fmt.Appendf(nil, "entry %d", g.size), g)
		must(err)
		g.hashes = append(g.hashes, added...)
	}
}

func (g *grown) checkpoint(size int64) []byte {
	root, err := tlog.TreeHash(size, g)
	must(err)
	text := f_log.Checkpoint{Origin: g.origin, Size: uint64(size), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, g.signer)
	must(err)
	return signed
}

func (g *grown) request(old, size int64) []byte {
	body := fmt.Appendf(nil, "old %d\n", old)
	if 0 < old && old < size {
		proof, err := tlog.ProveTree(size, old, g)
		must(err)
		for _, hash := range proof {
			body = fmt.Appendf(body, "%s\n", base64.StdEncoding.EncodeToString(hash[:]))
		}
	}
	return append(append(body, '\n'), g.checkpoint(size)...)
}

func keys(origin, seed string) (skey, vkey string) {
	hashed := sha256.Sum256([]byte(seed))
	private := ed25519.NewKeyFromSeed(hashed[:])
	public := append([]byte{1}, private.Public().(ed25519.PublicKey)...)
	named := sha256.Sum256(append([]byte(origin+"\n"), public...))
	id := binary.BigEndian.Uint32(named[:])
	encode := base64.StdEncoding.EncodeToString
	skey = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, id, encode(append([]byte{1}, hashed[:]...)))
	return skey, fmt.Sprintf("%s+%08x+%s", origin, id, encode(public))
}

func post(url string, body []byte) (int, []byte, string) {
	response, err := http.Post(url+"/add-checkpoint", "text/plain", bytes.NewReader(body))
	must(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	must(err)
	return response.StatusCode, answer, response.Header.Get("Content-Type")
}

func want(what string, status, wanted int) {
	if status != wanted {
		log.Fatalf("%s: status %d, %d is right", what, status, wanted)
	}
}

func main() {
	origin, seed := os.Args[2], os.Args[3]
	skey, vkey := keys(origin, seed)
	if os.Args[1] == "vkey" {
		fmt.Println(vkey)
		return
	}
	url := os.Args[4]
	witness, err := f_note.NewVerifierForCosignatureV1(os.Args[5])
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	g := &grown{origin: origin, signer: signer}
	g.growTo(700)
	old, cosigned := int64(0), 0
	for _, size := range []int64{1, 2, 5, 13, 13, 256, 300, 699} {
		status, answer, _ := post(url, g.request(old, size))
		want(fmt.Sprintf("from %d to %d", old, size), status, 200)
		opened, err := note.Open(append(g.checkpoint(size), answer...), note.VerifierList(witness))
		must(err)
		if len(opened.Sigs) != 1 {
			log.Fatalf("%d cosignatures", len(opened.Sigs))
		}
		old, cosigned = size, cosigned+1
	}
	status, answer, kind := post(url, g.request(256, 700))
	want("a stale size", status, 409)
	if string(answer) != "699\n" || kind != "text/x.tlog.size" {
		log.Fatalf("409 says %q, %s", answer, kind)
	}
	status, _, _ = post(url, g.request(700, 699))
	want("old beyond the checkpoint", status, 400)
	wrong := g.request(699, 700)
	wrong[len("old 699\n")] ^= 1
	status, _, _ = post(url, wrong)
	if status != 422 && status != 400 {
		log.Fatalf("a wrong proof: status %d", status)
	}
	otherKey, _ := keys(origin, seed+"!")
	g.signer, err = note.NewSigner(otherKey)
	must(err)
	status, _, _ = post(url, g.request(699, 700))
	want("a stranger's signature", status, 403)
	foreignKey, _ := keys("unknown.example/log", seed)
	g.signer, err = note.NewSigner(foreignKey)
	must(err)
	g.origin = "unknown.example/log"
	status, _, _ = post(url, g.request(699, 700))
	want("an unknown log", status, 404)
	fmt.Printf("%d\n", cosigned)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
