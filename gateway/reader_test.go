package gateway

import (
	"bufio"
	"strings"
)

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
