//! ractor: an actor by its trait; its mailboxes have no bound.
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::work::{BURST, Params, next_link, rate, resident, rss};

type Handled = Result<(), ActorProcessingErr>;

enum Rally {
    Serve {
        to: ActorRef<Rally>,
        returns: usize,
        done: Option<UnboundedSender<()>>,
        begin: bool,
    },
    Ball(Box<usize>),
}

struct Player;

#[derive(Default)]
struct Playing {
    to: Option<ActorRef<Rally>>,
    left: usize,
    done: Option<UnboundedSender<()>>,
}

impl Actor for Player {
    type Msg = Rally;
    type State = Playing;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Rally>, (): ()) -> Result<Playing, ActorProcessingErr> {
        Ok(Playing::default())
    }

    async fn handle(&self, _: ActorRef<Rally>, message: Rally, state: &mut Playing) -> Handled {
        match message {
            Rally::Serve {
                to,
                returns,
                done,
                begin,
            } => {
                if begin {
                    to.send_message(Rally::Ball(Box::new(0)))?;
                }
                *state = Playing {
                    to: Some(to),
                    left: returns,
                    done,
                };
            }
            Rally::Ball(ball) => {
                state.left -= 1;
                if state.left > 0 {
                    state
                        .to
                        .as_ref()
                        .expect("served")
                        .send_message(Rally::Ball(ball))?;
                } else if let Some(done) = &state.done {
                    done.send(())?;
                }
            }
        }
        Ok(())
    }
}

pub async fn ping_pong(params: &Params) -> Value {
    let one = Actor::spawn(None, Player, ()).await.expect("an actor").0;
    let two = Actor::spawn(None, Player, ()).await.expect("an actor").0;
    let mut out = Value::Null;
    for messages in params.warm("messages") {
        let (done, mut over) = unbounded_channel();
        let began = Instant::now();
        let second = Rally::Serve {
            to: one.clone(),
            returns: messages / 2 + 1,
            done: None,
            begin: false,
        };
        two.send_message(second).expect("a player");
        let first = Rally::Serve {
            to: two.clone(),
            returns: messages / 2,
            done: Some(done),
            begin: true,
        };
        one.send_message(first).expect("a player");
        over.recv().await.expect("the end");
        out = rate(messages, began);
    }
    out
}

enum Tally {
    Expect {
        items: usize,
        done: UnboundedSender<()>,
    },
    Item(Arc<Item>),
}

struct Item {
    n: usize,
    last: bool,
    from: ActorRef<Supply>,
}

struct Sink;

#[derive(Default)]
struct Counting {
    left: usize,
    sum: usize,
    done: Option<UnboundedSender<()>>,
}

impl Actor for Sink {
    type Msg = Tally;
    type State = Counting;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Tally>, (): ()) -> Result<Counting, ActorProcessingErr> {
        Ok(Counting::default())
    }

    async fn handle(&self, _: ActorRef<Tally>, message: Tally, state: &mut Counting) -> Handled {
        match message {
            Tally::Expect { items, done } => {
                *state = Counting {
                    left: items,
                    sum: 0,
                    done: Some(done),
                }
            }
            Tally::Item(item) => {
                state.left -= 1;
                state.sum += item.n;
                if item.last {
                    item.from.send_message(Supply::Credit)?;
                    if state.left == 0 {
                        state.done.as_ref().expect("expected").send(())?;
                    }
                }
            }
        }
        Ok(())
    }
}

enum Supply {
    Begin {
        to: ActorRef<Tally>,
        items: usize,
        fresh: bool,
    },
    Credit,
}

struct Source;

struct Supplying {
    to: ActorRef<Tally>,
    left: usize,
    fresh: bool,
    item: Arc<Item>,
    last: Arc<Item>,
}

impl Supplying {
    fn burst(&mut self, me: &ActorRef<Supply>) -> Handled {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= BURST;
        for n in 0..BURST {
            let ends = n == BURST - 1;
            let next = match (self.fresh, ends) {
                (true, _) => Arc::new(Item {
                    n,
                    last: ends,
                    from: me.clone(),
                }),
                (false, false) => self.item.clone(),
                (false, true) => self.last.clone(),
            };
            self.to.send_message(Tally::Item(next))?;
        }
        Ok(())
    }
}

impl Actor for Source {
    type Msg = Supply;
    type State = Option<Supplying>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Supply>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(
        &self,
        me: ActorRef<Supply>,
        message: Supply,
        state: &mut Self::State,
    ) -> Handled {
        if let Supply::Begin { to, items, fresh } = message {
            let item = Arc::new(Item {
                n: 0,
                last: false,
                from: me.clone(),
            });
            let last = Arc::new(Item {
                n: 0,
                last: true,
                from: me.clone(),
            });
            *state = Some(Supplying {
                to,
                left: items,
                fresh,
                item,
                last,
            });
        }
        state.as_mut().expect("begun").burst(&me)
    }
}

pub async fn fan_in(params: &Params) -> Value {
    let (senders, fresh) = (params.number("senders"), params.flag("fresh"));
    let sink = Actor::spawn(None, Sink, ()).await.expect("an actor").0;
    let mut sources = Vec::new();
    for _ in 0..senders {
        sources.push(Actor::spawn(None, Source, ()).await.expect("an actor").0);
    }
    let mut out = Value::Null;
    for messages in params.warm("messages") {
        let (done, mut over) = unbounded_channel();
        let began = Instant::now();
        sink.send_message(Tally::Expect {
            items: messages,
            done,
        })
        .expect("the sink");
        for source in &sources {
            let begin = Supply::Begin {
                to: sink.clone(),
                items: messages / senders,
                fresh,
            };
            source.send_message(begin).expect("a source");
        }
        over.recv().await.expect("the end");
        out = rate(messages, began);
    }
    out
}

enum Hop {
    Join {
        next: ActorRef<Hop>,
        collector: UnboundedSender<()>,
        hops: usize,
        fresh: bool,
    },
    Token(Box<usize>),
}

struct Link;

#[derive(Default)]
struct Place {
    next: Option<ActorRef<Hop>>,
    collector: Option<UnboundedSender<()>>,
    left: usize,
    fresh: bool,
}

impl Actor for Link {
    type Msg = Hop;
    type State = Place;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Hop>, (): ()) -> Result<Place, ActorProcessingErr> {
        Ok(Place::default())
    }

    async fn handle(&self, _: ActorRef<Hop>, message: Hop, state: &mut Place) -> Handled {
        match message {
            Hop::Join {
                next,
                collector,
                hops,
                fresh,
            } => {
                *state = Place {
                    next: Some(next),
                    collector: Some(collector),
                    left: hops,
                    fresh,
                };
            }
            Hop::Token(_) if state.left == 0 => {
                state.collector.as_ref().expect("joined").send(())?
            }
            Hop::Token(token) => {
                state.left -= 1;
                let token = if state.fresh {
                    Box::new(*token + 1)
                } else {
                    token
                };
                state
                    .next
                    .as_ref()
                    .expect("joined")
                    .send_message(Hop::Token(token))?;
            }
        }
        Ok(())
    }
}

async fn links(agents: usize) -> Vec<ActorRef<Hop>> {
    let mut links = Vec::new();
    for _ in 0..agents {
        links.push(Actor::spawn(None, Link, ()).await.expect("an actor").0);
    }
    links
}

pub async fn ring(params: &Params) -> Value {
    let (agents, tokens, fresh) = (
        params.number("agents"),
        params.number("tokens"),
        params.flag("fresh"),
    );
    let links = links(agents).await;
    let mut out = Value::Null;
    for hops in params.warm("hops") {
        let (collector, mut over) = unbounded_channel();
        for (n, link) in links.iter().enumerate() {
            let next = links[next_link(n, agents)].clone();
            link.send_message(Hop::Join {
                next,
                collector: collector.clone(),
                hops,
                fresh,
            })
            .expect("a link");
        }
        let began = Instant::now();
        for n in 0..tokens {
            links[n * agents / tokens]
                .send_message(Hop::Token(Box::new(0)))
                .expect("a link");
        }
        for _ in 0..tokens {
            over.recv().await.expect("a token");
        }
        out = rate(hops * agents, began);
    }
    out
}

pub async fn dormant(params: &Params) -> Value {
    let (before, began) = (rss(), Instant::now());
    let all = links(params.number("agents")).await;
    let seconds = began.elapsed().as_secs_f64();
    let out = resident(params, before, seconds).await;
    drop(all);
    out
}
