package main

import "time"

type message struct {
	n      int
	last   bool
	sender chan *message
}

func seconds(began time.Time) float64 { return time.Since(began).Seconds() }

// W1: two actors bounce one message.
func pingPong(p params) result {
	var out result
	for _, messages := range p.warm("messages") {
		one, two, done := make(chan *message, mailbox), make(chan *message, mailbox), make(chan bool)
		player := func(mine, other chan *message, left int) {
			for ball := range mine {
				left--
				if left == 0 {
					close(done)
					return
				}
				other <- ball
			}
		}
		go player(one, two, messages/2)
		go player(two, one, messages/2+1)
		began := time.Now()
		two <- &message{}
		<-done
		out = result{"count": messages, "seconds": seconds(began)}
		close(two)
	}
	return out
}

// W2: many senders to one; a credit for each burst.
func fanIn(p params) result {
	senders, fresh := p.number("senders"), p.flag("fresh")
	var out result
	for _, messages := range p.warm("messages") {
		inbox, done := make(chan *message, mailbox), make(chan bool)
		go func() {
			credit, left := &message{n: burst}, messages
			for item := range inbox {
				left--
				if item.last {
					item.sender <- credit
					if left == 0 {
						close(done)
						return
					}
				}
			}
		}()
		source := func(left int) {
			mine := make(chan *message, mailbox)
			item, last := &message{sender: mine}, &message{last: true, sender: mine}
			for left > 0 {
				left -= burst
				if fresh {
					for n := range burst {
						inbox <- &message{n: n, last: n == burst-1, sender: mine}
					}
				} else {
					for range burst - 1 {
						inbox <- item
					}
					inbox <- last
				}
				<-mine
			}
		}
		began := time.Now()
		for range senders {
			go source(messages / senders)
		}
		<-done
		out = result{"count": messages, "seconds": seconds(began)}
	}
	return out
}

// W3: a ring in the order of next = (4221 n + 7919) mod agents.
func ring(p params) result {
	agents, tokens, fresh := p.number("agents"), p.number("tokens"), p.flag("fresh")
	var out result
	for _, hops := range p.warm("hops") {
		boxes, collector := make([]chan *message, agents), make(chan *message, tokens)
		for n := range boxes {
			boxes[n] = make(chan *message, mailbox)
		}
		for n := range boxes {
			go func(mine, next chan *message) {
				left := hops
				for token := range mine {
					if left == 0 {
						collector <- token
						continue
					}
					left--
					if fresh {
						token = &message{n: token.n + 1}
					}
					next <- token
				}
			}(boxes[n], boxes[(4221*n+7919)%agents])
		}
		began := time.Now()
		for n := range tokens {
			boxes[n*agents/tokens] <- &message{}
		}
		for range tokens {
			<-collector
		}
		out = result{"count": hops * agents, "seconds": seconds(began)}
		for _, box := range boxes {
			close(box)
		}
	}
	return out
}
