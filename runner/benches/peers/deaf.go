// Stands before the peer's server program in its image, and does not listen on one port: its process is there, its listener is not.
package main

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const deafOn = "81"

func main() {
	if strings.HasPrefix(strings.Join(os.Args[1:], " "), "serve-hostname") && slices.Contains(os.Args, deafOn) {
		for {
			time.Sleep(time.Hour)
		}
	}
	if err := syscall.Exec("/server", append([]string{"/agnhost"}, os.Args[1:]...), os.Environ()); err != nil {
		os.Exit(127)
	}
}
