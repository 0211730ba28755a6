// sshagent SOCKET holds one new Ed25519 key, prints its fingerprint, and serves it as an SSH agent:
// litewitness takes its key from one.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func main() {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	public, err := ssh.NewPublicKey(private.Public())
	must(err)
	ring := agent.NewKeyring()
	must(ring.Add(agent.AddedKey{PrivateKey: private}))
	listener, err := net.Listen("unix", os.Args[1])
	must(err)
	fmt.Println(ssh.FingerprintSHA256(public))
	for {
		connection, err := listener.Accept()
		must(err)
		go agent.ServeAgent(ring, connection)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
