// Go: an actor is a goroutine that takes from a buffered channel of its own.
//
// Usage: peer WORKLOAD key=value ...; the last line is one JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	mailbox = 1000 // the bound that ours has
	burst   = 10
	flood   = 100
)

type params map[string]string

func (p params) number(name string) int {
	value, err := strconv.ParseFloat(p[name], 64)
	if err != nil {
		fail("%s is a number, not %q", name, p[name])
	}
	return int(value)
}

func (p params) flag(name string) bool { return p.number(name) == 1 }

// warm gives the warm-up's size, a tenth, and the run's.
func (p params) warm(name string) []int {
	full := p.number(name)
	if full%10 != 0 {
		fail("%s is a multiple of 10, not %d", name, full)
	}
	return []int{full / 10, full}
}

type result map[string]any

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(2)
}

var workloads = map[string]func(params) result{
	"ping_pong": pingPong,
	"fan_in":    fanIn,
	"ring":      ring,
	"dormant":   dormant,
	"wake":      wake,
}

func main() {
	if len(os.Args) < 2 || workloads[os.Args[1]] == nil {
		fail("usage: peer ping_pong|fan_in|ring|dormant|wake key=value ...")
	}
	p := params{}
	for _, word := range os.Args[2:] {
		key, value, found := strings.Cut(word, "=")
		if !found {
			fail("not key=value: %q", word)
		}
		p[key] = value
	}
	text, err := json.Marshal(workloads[os.Args[1]](p))
	if err != nil {
		fail("%v", err)
	}
	fmt.Println(string(text))
}
