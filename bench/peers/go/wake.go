package main

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var woken atomic.Int64

// sleeper writes the latency of each wake to where its number says; -1 while everybody is woken once.
func sleeper(mine chan wakeUp, latencies []int64) {
	for one := range mine {
		if one.turn >= 0 {
			latencies[one.turn] = time.Now().UnixNano() - one.at
		}
		woken.Add(1)
	}
}

type wakeUp struct {
	turn int
	at   int64
}

func sleepers(agents int, latencies []int64) []chan wakeUp {
	boxes := make([]chan wakeUp, agents)
	for n := range boxes {
		boxes[n] = make(chan wakeUp, 16) // the channel is allocated whole: 1,000 would be 16 KB an actor
		go sleeper(boxes[n], latencies)
	}
	return boxes
}

// W4: residents that wait.
func dormant(p params) result {
	agents := p.number("agents")
	before, began := rss(), time.Now()
	boxes := sleepers(agents, nil)
	spawned := seconds(began)
	time.Sleep(100 * time.Millisecond)
	after := rss()
	idle, err := strconv.ParseFloat(p["idle_s"], 64)
	if err != nil {
		fail("idle_s: %v", err)
	}
	cpu := ticks()
	time.Sleep(time.Duration(idle * float64(time.Second)))
	percent := 100 * float64(ticks()-cpu) / 100 / idle
	_ = boxes[0]
	return result{
		"count": agents, "seconds": spawned, "bytes_each": float64(after-before) / float64(agents),
		"rss_mb": float64(after) / 1e6, "idle_cpu_percent": percent,
	}
}

// W5, W7: open loop; the pacer says whom to wake and when it meant to.
func wake(p params) result {
	agents, count := p.number("agents"), p.number("count")
	latencies := make([]int64, count)
	boxes := sleepers(agents, latencies)
	for _, box := range boxes {
		box <- wakeUp{turn: -1}
	}
	for woken.Load() < int64(agents) {
		time.Sleep(time.Millisecond)
	}
	woken.Store(0)
	if p.flag("flood") {
		victim := make(chan wakeUp, mailbox)
		go func() {
			for {
			refused:
				for range flood {
					select {
					case victim <- wakeUp{turn: -1}:
					default:
						break refused
					}
				}
			}
		}()
		go func() {
			for range victim {
			}
		}()
	}
	link, err := net.Dial("unix", p["socket"])
	if err != nil {
		fail("%v", err)
	}
	if _, err := link.Write([]byte("r")); err != nil {
		fail("%v", err)
	}
	var frame [16]byte
	for turn := 0; ; turn++ {
		if _, err := io.ReadFull(link, frame[:]); err != nil {
			break
		}
		agent := binary.LittleEndian.Uint64(frame[:8])
		boxes[agent] <- wakeUp{turn, int64(binary.LittleEndian.Uint64(frame[8:]))}
	}
	for woken.Load() < int64(count) {
		time.Sleep(time.Millisecond)
	}
	return result{"count": count, "latencies_ns": latencies}
}

func rss() int64 {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		fail("%v", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "Rss:"); found {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				fail("%v", err)
			}
			return kb * 1024
		}
	}
	fail("no Rss")
	return 0
}

// ticks of processor time, all threads, 100 a second.
func ticks() int64 {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		fail("%v", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return user + system
}
