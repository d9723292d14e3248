//! An actor is a task that receives from a bounded mpsc channel of its own.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use crate::work::{BURST, FLOOD, MAILBOX, Params, fail, next_link, rate, resident, rss};

pub async fn ping_pong(params: &Params) -> Value {
    let mut out = Value::Null;
    for messages in params.warm("messages") {
        let (one_in, one) = channel::<Box<usize>>(MAILBOX);
        let (two_in, two) = channel::<Box<usize>>(MAILBOX);
        let (done, over) = oneshot::channel();
        let began = Instant::now();
        tokio::spawn(player(one, two_in.clone(), messages / 2, Some(done)));
        tokio::spawn(player(two, one_in, messages / 2 + 1, None));
        two_in.send(Box::new(0)).await.expect("a player");
        over.await.expect("the end");
        out = rate(messages, began);
    }
    out
}

async fn player(
    mut mine: Receiver<Box<usize>>,
    other: Sender<Box<usize>>,
    mut left: usize,
    done: Option<oneshot::Sender<()>>,
) {
    while let Some(ball) = mine.recv().await {
        left -= 1;
        if left == 0 {
            break;
        }
        other.send(ball).await.expect("the other player");
    }
    if let Some(done) = done {
        done.send(()).expect("somebody waits");
    }
}

struct Item {
    n: usize,
    last: bool,
    from: Sender<usize>,
}

pub async fn fan_in(params: &Params) -> Value {
    let (senders, fresh) = (params.number("senders"), params.flag("fresh"));
    let mut out = Value::Null;
    for messages in params.warm("messages") {
        let (inbox_in, mut inbox) = channel::<Arc<Item>>(MAILBOX);
        let began = Instant::now();
        let sink = tokio::spawn(async move {
            let mut left = messages;
            let mut sum = 0;
            while left > 0 {
                let item = inbox.recv().await.expect("a sender");
                left -= 1;
                sum += item.n;
                if item.last {
                    item.from.send(BURST).await.expect("the sender");
                }
            }
            sum
        });
        for _ in 0..senders {
            tokio::spawn(source(inbox_in.clone(), messages / senders, fresh));
        }
        sink.await.expect("the sink");
        out = rate(messages, began);
    }
    out
}

async fn source(to: Sender<Arc<Item>>, mut left: usize, fresh: bool) {
    let (from, mut mine) = channel::<usize>(MAILBOX);
    let item = Arc::new(Item {
        n: 0,
        last: false,
        from: from.clone(),
    });
    let last = Arc::new(Item {
        n: 0,
        last: true,
        from: from.clone(),
    });
    while left > 0 {
        left -= BURST;
        for n in 0..BURST {
            let ends = n == BURST - 1;
            let next = match (fresh, ends) {
                (true, _) => Arc::new(Item {
                    n,
                    last: ends,
                    from: from.clone(),
                }),
                (false, false) => item.clone(),
                (false, true) => last.clone(),
            };
            if to.send(next).await.is_err() {
                return;
            }
        }
        mine.recv().await.expect("a credit");
    }
}

pub async fn ring(params: &Params) -> Value {
    let (agents, tokens, fresh) = (
        params.number("agents"),
        params.number("tokens"),
        params.flag("fresh"),
    );
    let mut out = Value::Null;
    for hops in params.warm("hops") {
        let (collector_in, mut collector) = channel::<Box<usize>>(tokens);
        let (mut ins, mut outs) = (Vec::new(), Vec::new());
        for _ in 0..agents {
            let (tx, rx) = channel::<Box<usize>>(MAILBOX);
            ins.push(tx);
            outs.push(rx);
        }
        for (n, mine) in outs.into_iter().enumerate() {
            tokio::spawn(link(
                mine,
                ins[next_link(n, agents)].clone(),
                collector_in.clone(),
                hops,
                fresh,
            ));
        }
        let began = Instant::now();
        for n in 0..tokens {
            ins[n * agents / tokens]
                .send(Box::new(0))
                .await
                .expect("a link");
        }
        for _ in 0..tokens {
            collector.recv().await.expect("a token");
        }
        out = rate(hops * agents, began);
    }
    out
}

async fn link(
    mut mine: Receiver<Box<usize>>,
    next: Sender<Box<usize>>,
    collector: Sender<Box<usize>>,
    mut left: usize,
    fresh: bool,
) {
    while let Some(token) = mine.recv().await {
        let to = if left == 0 { &collector } else { &next };
        let token = if fresh { Box::new(*token + 1) } else { token };
        left = left.saturating_sub(1);
        if to.send(token).await.is_err() {
            return;
        }
    }
}

type Latencies = Arc<(Vec<AtomicI64>, AtomicUsize)>;

/// `turn` None: not to be kept.
#[derive(Clone, Copy)]
struct Wake {
    turn: Option<usize>,
    at: i64,
}

fn wall_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i64)
}

async fn sleeper(mut mine: Receiver<Wake>, latencies: Latencies) {
    while let Some(wake) = mine.recv().await {
        if let Some(turn) = wake.turn {
            latencies.0[turn].store(wall_ns() - wake.at, Ordering::Relaxed);
        }
        latencies.1.fetch_add(1, Ordering::Release);
    }
}

fn sleepers(agents: usize, latencies: &Latencies) -> Vec<Sender<Wake>> {
    (0..agents)
        .map(|_| {
            let (tx, rx) = channel(MAILBOX);
            tokio::spawn(sleeper(rx, latencies.clone()));
            tx
        })
        .collect()
}

pub async fn dormant(params: &Params) -> Value {
    let none: Latencies = Arc::new((Vec::new(), AtomicUsize::new(0)));
    let (before, began) = (rss(), Instant::now());
    let boxes = sleepers(params.number("agents"), &none);
    tokio::task::yield_now().await;
    let seconds = began.elapsed().as_secs_f64();
    let out = resident(params, before, seconds).await;
    drop(boxes);
    out
}

pub async fn wake(params: &Params) -> Value {
    let (agents, count) = (params.number("agents"), params.number("count"));
    let latencies: Latencies = Arc::new((
        (0..count).map(|_| AtomicI64::new(0)).collect(),
        AtomicUsize::new(0),
    ));
    let boxes = sleepers(agents, &latencies);
    for one in &boxes {
        one.send(Wake { turn: None, at: 0 })
            .await
            .expect("a sleeper");
    }
    handled(&latencies, agents).await;
    latencies.1.store(0, Ordering::Release);
    if params.flag("flood") {
        let (victim_in, mut victim) = channel(MAILBOX);
        tokio::spawn(async move {
            loop {
                for _ in 0..FLOOD {
                    if victim_in.try_send(Wake { turn: None, at: 0 }).is_err() {
                        break;
                    }
                }
                tokio::task::yield_now().await;
            }
        });
        tokio::spawn(async move { while victim.recv().await.is_some() {} });
    }
    let mut link = match UnixStream::connect(params.text("socket")).await {
        Ok(link) => link,
        Err(error) => fail(&format!("the pacer's socket: {error}")),
    };
    link.write_all(b"r").await.expect("the pacer");
    let (mut frame, mut turn) = ([0u8; 16], 0);
    while link.read_exact(&mut frame).await.is_ok() {
        let (agent, at) = frame.split_at(8);
        let agent = u64::from_le_bytes(agent.try_into().expect("8 bytes")) as usize;
        let at = i64::from_le_bytes(at.try_into().expect("8 bytes"));
        boxes[agent]
            .send(Wake {
                turn: Some(turn),
                at,
            })
            .await
            .expect("a sleeper");
        turn += 1;
    }
    handled(&latencies, count).await;
    let all: Vec<i64> = latencies
        .0
        .iter()
        .map(|one| one.load(Ordering::Acquire))
        .collect();
    json!({"count": count, "latencies_ns": all})
}

async fn handled(latencies: &Latencies, count: usize) {
    while latencies.1.load(Ordering::Acquire) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
