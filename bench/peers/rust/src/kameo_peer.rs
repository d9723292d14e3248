//! kameo: an actor by its derive, with bounded mailboxes.
use std::sync::Arc;
use std::time::Instant;

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox::bounded;
use kameo::message::{Context, Message};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::work::{BURST, MAILBOX, Params, next_link, rate, resident, rss};

struct Serve {
    to: ActorRef<Player>,
    returns: usize,
    done: Option<UnboundedSender<()>>,
    begin: bool,
}

struct Ball(Box<usize>);

#[derive(Actor, Default)]
struct Player {
    to: Option<ActorRef<Player>>,
    left: usize,
    done: Option<UnboundedSender<()>>,
}

impl Message<Serve> for Player {
    type Reply = ();

    async fn handle(&mut self, serve: Serve, _: &mut Context<Self, ()>) {
        if serve.begin {
            serve
                .to
                .tell(Ball(Box::new(0)))
                .await
                .expect("the other player");
        }
        *self = Self {
            to: Some(serve.to),
            left: serve.returns,
            done: serve.done,
        };
    }
}

impl Message<Ball> for Player {
    type Reply = ();

    async fn handle(&mut self, ball: Ball, _: &mut Context<Self, ()>) {
        self.left -= 1;
        if self.left > 0 {
            self.to
                .as_ref()
                .expect("served")
                .tell(ball)
                .await
                .expect("the other player");
        } else if let Some(done) = &self.done {
            drop(ball.0);
            done.send(()).expect("somebody waits");
        }
    }
}

pub async fn ping_pong(params: &Params) -> Value {
    let one = Player::spawn_with_mailbox(Player::default(), bounded(MAILBOX));
    let two = Player::spawn_with_mailbox(Player::default(), bounded(MAILBOX));
    let mut out = Value::Null;
    for messages in params.warm("messages") {
        let (done, mut over) = unbounded_channel();
        let began = Instant::now();
        let second = Serve {
            to: one.clone(),
            returns: messages / 2 + 1,
            done: None,
            begin: false,
        };
        two.tell(second).await.expect("a player");
        let first = Serve {
            to: two.clone(),
            returns: messages / 2,
            done: Some(done),
            begin: true,
        };
        one.tell(first).await.expect("a player");
        over.recv().await.expect("the end");
        out = rate(messages, began);
    }
    out
}

struct Expect {
    items: usize,
    done: UnboundedSender<()>,
}

struct Item {
    n: usize,
    last: bool,
    from: ActorRef<Source>,
}

#[derive(Actor, Default)]
struct Sink {
    left: usize,
    sum: usize,
    done: Option<UnboundedSender<()>>,
}

impl Message<Expect> for Sink {
    type Reply = ();

    async fn handle(&mut self, expect: Expect, _: &mut Context<Self, ()>) {
        *self = Self {
            left: expect.items,
            sum: 0,
            done: Some(expect.done),
        };
    }
}

impl Message<Arc<Item>> for Sink {
    type Reply = ();

    async fn handle(&mut self, item: Arc<Item>, _: &mut Context<Self, ()>) {
        self.left -= 1;
        self.sum += item.n;
        if item.last {
            item.from.tell(Credit).await.expect("the source");
            if self.left == 0 {
                self.done
                    .as_ref()
                    .expect("expected")
                    .send(())
                    .expect("somebody waits");
            }
        }
    }
}

struct Begin {
    to: ActorRef<Sink>,
    items: usize,
    fresh: bool,
}

struct Credit;

#[derive(Actor, Default)]
struct Source {
    to: Option<ActorRef<Sink>>,
    left: usize,
    fresh: bool,
    item: Option<(Arc<Item>, Arc<Item>)>,
}

impl Source {
    async fn burst(&mut self, me: &ActorRef<Self>) {
        if self.left == 0 {
            return;
        }
        self.left -= BURST;
        let (to, (item, last)) = (
            self.to.as_ref().expect("begun"),
            self.item.as_ref().expect("begun"),
        );
        for n in 0..BURST {
            let ends = n == BURST - 1;
            let next = match (self.fresh, ends) {
                (true, _) => Arc::new(Item {
                    n,
                    last: ends,
                    from: me.clone(),
                }),
                (false, false) => item.clone(),
                (false, true) => last.clone(),
            };
            to.tell(next).await.expect("the sink");
        }
    }
}

impl Message<Begin> for Source {
    type Reply = ();

    async fn handle(&mut self, begin: Begin, ctx: &mut Context<Self, ()>) {
        let me = ctx.actor_ref().clone();
        let item = |last| {
            Arc::new(Item {
                n: 0,
                last,
                from: me.clone(),
            })
        };
        self.item = Some((item(false), item(true)));
        (self.to, self.left, self.fresh) = (Some(begin.to), begin.items, begin.fresh);
        self.burst(&me).await;
    }
}

impl Message<Credit> for Source {
    type Reply = ();

    async fn handle(&mut self, _: Credit, ctx: &mut Context<Self, ()>) {
        let me = ctx.actor_ref().clone();
        self.burst(&me).await;
    }
}

pub async fn fan_in(params: &Params) -> Value {
    let (senders, fresh) = (params.number("senders"), params.flag("fresh"));
    let sink = Sink::spawn_with_mailbox(Sink::default(), bounded(MAILBOX));
    let sources: Vec<_> = (0..senders)
        .map(|_| Source::spawn_with_mailbox(Source::default(), bounded(MAILBOX)))
        .collect();
    let mut out = Value::Null;
    for messages in params.warm("messages") {
        let (done, mut over) = unbounded_channel();
        let began = Instant::now();
        sink.tell(Expect {
            items: messages,
            done,
        })
        .await
        .expect("the sink");
        for source in &sources {
            source
                .tell(Begin {
                    to: sink.clone(),
                    items: messages / senders,
                    fresh,
                })
                .await
                .expect("a source");
        }
        over.recv().await.expect("the end");
        out = rate(messages, began);
    }
    out
}

struct Join {
    next: ActorRef<Link>,
    collector: UnboundedSender<()>,
    hops: usize,
    fresh: bool,
}

struct Token(Box<usize>);

#[derive(Actor, Default)]
struct Link {
    next: Option<ActorRef<Link>>,
    collector: Option<UnboundedSender<()>>,
    left: usize,
    fresh: bool,
}

impl Message<Join> for Link {
    type Reply = ();

    async fn handle(&mut self, join: Join, _: &mut Context<Self, ()>) {
        *self = Self {
            next: Some(join.next),
            collector: Some(join.collector),
            left: join.hops,
            fresh: join.fresh,
        };
    }
}

impl Message<Token> for Link {
    type Reply = ();

    async fn handle(&mut self, token: Token, _: &mut Context<Self, ()>) {
        if self.left == 0 {
            self.collector
                .as_ref()
                .expect("joined")
                .send(())
                .expect("somebody waits");
            return;
        }
        self.left -= 1;
        let token = if self.fresh {
            Token(Box::new(*token.0 + 1))
        } else {
            token
        };
        self.next
            .as_ref()
            .expect("joined")
            .tell(token)
            .await
            .expect("the next link");
    }
}

fn links(agents: usize) -> Vec<ActorRef<Link>> {
    (0..agents)
        .map(|_| Link::spawn_with_mailbox(Link::default(), bounded(MAILBOX)))
        .collect()
}

pub async fn ring(params: &Params) -> Value {
    let (agents, tokens, fresh) = (
        params.number("agents"),
        params.number("tokens"),
        params.flag("fresh"),
    );
    let links = links(agents);
    let mut out = Value::Null;
    for hops in params.warm("hops") {
        let (collector, mut over) = unbounded_channel();
        for (n, link) in links.iter().enumerate() {
            let next = links[next_link(n, agents)].clone();
            link.tell(Join {
                next,
                collector: collector.clone(),
                hops,
                fresh,
            })
            .await
            .expect("a link");
        }
        let began = Instant::now();
        for n in 0..tokens {
            links[n * agents / tokens]
                .tell(Token(Box::new(0)))
                .await
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
    let all = links(params.number("agents"));
    tokio::task::yield_now().await;
    let seconds = began.elapsed().as_secs_f64();
    let out = resident(params, before, seconds).await;
    drop(all);
    out
}
