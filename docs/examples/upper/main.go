// Upper answers with its request in capitals: a function is a program that
// reads standard input and writes standard output.
package main

import (
	"bytes"
	"io"
	"log"
	"os"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(bytes.ToUpper(body)); err != nil {
		log.Fatal(err)
	}
}
